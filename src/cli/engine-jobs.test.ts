import { describe, expect, it } from 'vitest';

import { formatEngineJob, parseEngineJob, removeEngineJob } from './engine-jobs.js';

const JOB = { file: '/home/me/my config', context: 'me@prod/1 x', namespace: 'ci', job: 'mk-ci-1' };

describe('the note of a Job', () => {
  it('says where it is, whatever files and contexts are called', () => {
    expect(parseEngineJob(formatEngineJob(JOB))).toEqual(JOB);
    expect(parseEngineJob('ci/mk-ci-1')).toBeUndefined();
  });

  it('is done with when no kubeconfig leads to its cluster any more', async () => {
    const name = formatEngineJob({ ...JOB, file: '/nowhere/kubeconfig' });
    await expect(removeEngineJob(name, AbortSignal.timeout(10_000))).resolves.toBeUndefined();
    await expect(removeEngineJob('x', AbortSignal.timeout(10_000))).rejects.toMatchObject({ code: 'DRV_UNKNOWN' });
  });
});
