import { describe, expect, it } from 'vitest';

import { MkCiError, isMkCiError } from '../errors.js';
import { throwProblems } from './health.js';

/** What is thrown for these problems of a driver that can not work. */
function thrown(...problems: { readonly reason: string; readonly message: string; readonly fix: string }[]): MkCiError {
  try {
    throwProblems({ usable: false, problems, facts: {} }, 'ssh');
  } catch (error) {
    if (isMkCiError(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('a driver that can not work', () => {
  it('is an error of the first problem where that is one, said once, with the others beside it', () => {
    const cause = new MkCiError('NET_UNREACHABLE', { message: 'a:22: connection refused' });
    const first = { reason: cause.code, message: cause.message, fix: cause.advice };
    const error = thrown(first, { reason: 'DRV_HOST_SWAP', message: 'it has swap', fix: 'Turn it off.' });
    expect(error.message).toBe(cause.message);
    expect(error).toMatchObject({ code: 'NET_UNREACHABLE', advice: cause.advice });
    expect(error.details).toEqual({ problems: ['it has swap. Turn it off.'] });
  });

  it('is one error with all that stands in the way where the first problem is a word of the driver', () => {
    const error = thrown({ reason: 'DRV_SSH_NO_HOST', message: 'no host is named', fix: 'Name one.' });
    expect(error).toMatchObject({ code: 'DRV_UNUSABLE', details: { problems: ['no host is named. Name one.'] } });
    const asked = thrown({ reason: 'DRV_DOCKER_NOT_RUNNING', message: 'is it running?', fix: 'Start it.' });
    expect(asked.details).toEqual({ problems: ['is it running? Start it.'] });
  });

  it('throws nothing when it works', () => {
    throwProblems({ usable: true, problems: [], facts: {} }, 'ssh');
  });
});
