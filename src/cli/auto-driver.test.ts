import { describe, expect, it } from 'vitest';

import { MkCiError } from '../errors.js';
import { startOnBest } from './auto-driver.js';

interface Circumstances {
  readonly isLeft?: boolean;
  /** In which a start fails. */
  readonly phase?: string;
  readonly signal?: AbortSignal;
}

/** Starts with drivers in this order, of which some fail. */
function startWith(
  failures: Readonly<Record<string, Error>>,
  { isLeft = false, phase = 'image', signal = new AbortController().signal }: Circumstances = {},
) {
  const warned: string[] = [];
  const result = startOnBest({
    pick: async (tried) => {
      const next = ['docker', 'podman', 'local'].find((name) => !tried.has(name));
      if (next === undefined) throw new Error(`none is left: ${[...tried.values()].join('; ')}`);
      return next;
    },
    start: async (driver, onPhase) => {
      const failure = failures[driver];
      if (failure === undefined) return driver;
      onPhase({ cluster: 'c', name: phase, state: 'failed' });
      throw failure;
    },
    isLeft: async () => isLeft,
    signal,
    log: { warn: (message, fields) => warned.push(`${message}: ${String(fields?.['why'])}`) },
  });
  return { result, warned };
}

describe('--driver auto', () => {
  const full = new MkCiError('DRV_FAILED', { message: 'no space for a container' });

  it('takes the next driver when one fails at making machines, and says so', async () => {
    const { result, warned } = startWith({ docker: full });
    expect(await result).toBe('podman');
    expect(warned).toEqual([
      'driver docker could not make the cluster; the next one is tried: The driver failed: no space for a container',
    ]);
  });

  it('takes the next driver whatever the code is, when it was the machines that failed, but not once it is told to stop', async () => {
    const failures = { docker: new MkCiError('HOST_DISK_FULL', { message: 'of the engine' }) };
    expect(await startWith(failures, { phase: 'machines' }).result).toBe('podman');
    await expect(startWith(failures).result).rejects.toThrow('of the engine');
    const stopped = { phase: 'machines', signal: AbortSignal.abort() };
    await expect(startWith(failures, stopped).result).rejects.toThrow('of the engine');
  });

  it('ends with all reasons when none is left', async () => {
    const { result } = startWith({ docker: full, podman: new MkCiError('DRV_UNUSABLE'), local: full });
    await expect(result).rejects.toThrow(/none is left: The driver failed: no space.*can not work/);
  });

  it('ends at what fails in Kubernetes, and where something is left', async () => {
    const broken = startWith({ docker: new MkCiError('K8S_COMPONENT_FAILED', { message: 'etcd' }) });
    await expect(broken.result).rejects.toThrow('etcd');
    expect(broken.warned).toEqual([]);
    await expect(startWith({ docker: full }, { isLeft: true }).result).rejects.toThrow('no space');
  });
});
