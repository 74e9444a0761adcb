import { describe, expect, it } from 'vitest';

import { MkCiError } from '../errors.js';
import { startOnBest } from './auto-driver.js';

/** Starts with drivers in this order, of which some fail. */
function startWith(failures: Readonly<Record<string, Error>>, isLeft = false) {
  const warned: string[] = [];
  const result = startOnBest({
    pick: async (tried) => {
      const next = ['docker', 'podman', 'local'].find((name) => !tried.has(name));
      if (next === undefined) throw new Error(`none is left: ${[...tried.values()].join('; ')}`);
      return next;
    },
    start: async (driver) => {
      const failure = failures[driver];
      if (failure !== undefined) throw failure;
      return driver;
    },
    isLeft: async () => isLeft,
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

  it('ends with all reasons when none is left', async () => {
    const { result } = startWith({ docker: full, podman: new MkCiError('DRV_UNUSABLE'), local: full });
    await expect(result).rejects.toThrow(/none is left: The driver failed: no space.*can not work/);
  });

  it('ends at what fails in Kubernetes, and where something is left', async () => {
    const broken = startWith({ docker: new MkCiError('K8S_COMPONENT_FAILED', { message: 'etcd' }) });
    await expect(broken.result).rejects.toThrow('etcd');
    expect(broken.warned).toEqual([]);
    await expect(startWith({ docker: full }, true).result).rejects.toThrow('no space');
  });
});
