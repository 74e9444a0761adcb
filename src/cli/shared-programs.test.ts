import { describe, expect, it } from 'vitest';

import type { Bundle, EnsureBundleOptions } from '../cluster/bundle/index.js';
import { sharePrograms } from './shared-programs.js';

const BUNDLE: Bundle = { kubernetesVersion: 'v1.36.3', folder: '/b', binaries: '/b/bin', digest: 'd', path: () => '' };

describe('programs that a command shares', () => {
  const open = (command: AbortSignal) => {
    const asked: EnsureBundleOptions[] = [];
    const answers: ((outcome: Bundle | Error) => void)[] = [];
    const store = sharePrograms(
      {
        ensure: async (_version, options) => {
          asked.push(options);
          return await new Promise<Bundle>((resolve, reject) => {
            answers.push((outcome) => {
              if (outcome instanceof Error) reject(outcome);
              else resolve(outcome);
            });
          });
        },
      },
      { signal: command, stderr: () => undefined, isTerminal: false, columns: 80 },
    );
    const ensure = async (signal: AbortSignal): Promise<Bundle> =>
      await store.ensure('v1.36.3', { parts: ['control-plane'], signal });
    return { ensure, asked, answers };
  };

  it('come for all that wait, also when the first that asked gives up', async () => {
    const command = new AbortController();
    const first = new AbortController();
    const { ensure, asked, answers } = open(command.signal);
    const left = ensure(first.signal);
    const right = ensure(command.signal);
    first.abort(new Error('its time is up'));
    await expect(left).rejects.toThrow('its time is up');
    expect(asked.map(({ signal }) => signal.aborted)).toEqual([false]);
    answers[0]?.(BUNDLE);
    expect(await right).toEqual(BUNDLE);
    await expect(ensure(first.signal)).rejects.toThrow('its time is up');
  });

  it('are asked for once, also when they can not be had', async () => {
    const { ensure, asked, answers } = open(new AbortController().signal);
    const { signal } = new AbortController();
    const left = ensure(signal);
    answers[0]?.(new Error('no source'));
    await expect(left).rejects.toThrow('no source');
    await expect(ensure(signal)).rejects.toThrow('no source');
    expect(asked).toHaveLength(1);
  });
});
