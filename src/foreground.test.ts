import { describe, expect, it } from 'vitest';

import { isMkCiError } from './errors.js';
import { runInForeground } from './foreground.js';

describe('a command in the foreground', () => {
  it('ends as it ends', async () => {
    expect(await runInForeground(['true'])).toBe(0);
    expect(await runInForeground(['sh', '-c', 'exit 7'])).toBe(7);
    expect(await runInForeground(['sh', '-c', 'kill -KILL $$'])).toBe(137);
  });

  it('gets the environment and the folder that were given, and nothing else', async () => {
    const env = { PATH: process.env['PATH'], WORD: 'yes' };
    expect(await runInForeground(['sh', '-c', '[ "$WORD" = yes ] && [ "$PWD" = / ]'], { cwd: '/', env })).toBe(0);
  });

  it('is ended with the caller, by the signal that ends it', async () => {
    const controller = new AbortController();
    const running = runInForeground(['sleep', '600'], { signal: controller.signal, killSignal: () => 'SIGINT' });
    controller.abort();
    expect(await running).toBe(130);
  });

  it('that is not there is named', async () => {
    const error = await runInForeground(['no-such-program']).catch((thrown: unknown) => thrown);
    expect(isMkCiError(error, 'HOST_MISSING_TOOL')).toBe(true);
  });
});
