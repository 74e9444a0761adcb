import { describe, expect, it } from 'vitest';

import { MkCiError } from '../../../../errors.js';
import { createPhases } from '../../../phases.js';
import { whileChecked } from './while-checked.js';

const call = { phases: createPhases('c', undefined), signal: new AbortController().signal };
const damaged = new MkCiError('K8S_SNAPSHOT_BROKEN', { message: 'ram.fixed does not match its checksum' });
const untilAborted = async (signal: AbortSignal): Promise<never> =>
  await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
  });

describe('a cluster that begins with a seed', () => {
  it('is not given before all of the seed was compared', async () => {
    let release = (): void => undefined;
    const checked = new Promise<void>((resolve) => {
      release = resolve;
    });
    let isGiven = false;
    const starting = whileChecked(
      {
        check: async () => {
          await checked;
        },
      },
      call,
      async () => 'cluster',
    ).then((cluster) => {
      isGiven = true;
      return cluster;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isGiven).toBe(false);
    release();
    expect(await starting).toBe('cluster');
  });

  it('is given up at once when the seed is damaged, whatever it waits for', async () => {
    const starting = whileChecked(
      {
        check: async () => {
          await Promise.reject(damaged);
        },
      },
      call,
      async ({ signal }) => await untilAborted(signal),
    );
    await expect(starting).rejects.toBe(damaged);
  });

  it('is not given when it was ready before the damage was found', async () => {
    const check = async (): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve));
      throw damaged;
    };
    await expect(whileChecked({ check }, call, async () => 'cluster')).rejects.toBe(damaged);
  });

  it('ends the comparing when it does not start, and says why it did not', async () => {
    const failed = new MkCiError('DRV_FAILED', { message: 'no machine' });
    let seen: unknown;
    const check = async (signal: AbortSignal): Promise<void> => {
      await untilAborted(signal).catch((error: unknown) => (seen = error));
      throw seen as Error;
    };
    await expect(whileChecked({ check }, call, async () => await Promise.reject(failed))).rejects.toBe(failed);
    expect(seen).toBe(failed);
  });
});
