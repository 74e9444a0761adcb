import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { MkCiError } from '../errors.js';
import type { Exec, ExecResult } from '../exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { describeDriverContract } from './driver-contract.js';
import { createExistingDriver } from './existing/existing-driver.js';
import { createFailingDriver } from './fake/failing-driver.js';
import { createFakeDriver } from './fake/fake-driver.js';
import { createLocalDriver } from './local/local-driver.js';
import { createDriverRegistry } from './registry.js';

const { signal } = new AbortController();

function answer(exitCode: number, stdout = ''): Exec {
  return async (argv): Promise<ExecResult> => ({
    argv,
    stdout,
    stderr: '',
    exitCode,
    signal: undefined,
    timedOut: false,
    aborted: false,
    leftChildren: false,
    durationMs: 1,
  });
}

let temporary: TemporaryFolder;
beforeAll(async () => {
  temporary = await createTemporaryFolder();
});
afterAll(async () => {
  await temporary[Symbol.asyncDispose]();
});

describeDriverContract('fake', {
  create: () => createFakeDriver({ exec: answer(0, 'hello\n'), folder: temporary.path }),
});
describeDriverContract('failing', { create: () => createFailingDriver() });
describeDriverContract('existing', { create: () => createExistingDriver() });
describeDriverContract('local (scripted host)', {
  create: () => createLocalDriver({ exec: answer(0), platform: 'linux', architecture: 'x64', memoryBytes: 2 ** 34 }),
});

describe('driver local', () => {
  const host = { platform: 'linux', architecture: 'x64', memoryBytes: 2 ** 34 } as const;

  it('works without setpriv, and says what is lost', async () => {
    const missing: Exec = async () => {
      throw new MkCiError('HOST_MISSING_TOOL');
    };
    const health = await createLocalDriver({ exec: missing, ...host }).check(signal);
    expect(health.usable).toBe(true);
    expect(health.problems.map(({ reason }) => reason)).toEqual(['DRV_LOCAL_SETPRIV']);
    // busybox has a setpriv that does not know the option
    const other = await createLocalDriver({ exec: answer(1), ...host }).check(signal);
    expect(other.facts['parentDeathSignal']).toBe('no');
  });

  it('does not work where there are no servers of Kubernetes', async () => {
    const windows = await createLocalDriver({ exec: answer(0), ...host, platform: 'win32' }).check(signal);
    expect(windows).toMatchObject({ usable: false, problems: [{ reason: 'DRV_LOCAL_PLATFORM' }] });
    const mips = await createLocalDriver({ exec: answer(0), ...host, architecture: 'mips' }).check(signal);
    expect(mips).toMatchObject({ usable: false, problems: [{ reason: 'DRV_LOCAL_ARCHITECTURE' }] });
  });

  it('warns of little memory', async () => {
    const small = await createLocalDriver({ exec: answer(0), ...host, memoryBytes: 2 ** 29 }).check(signal);
    expect(small).toMatchObject({ usable: true, problems: [{ reason: 'DRV_LOCAL_MEMORY' }] });
  });
});

describe('registry', () => {
  it('makes each driver once', () => {
    const registry = createDriverRegistry({ exec: answer(0) });
    expect(registry.get('local')).toBe(registry.get('local'));
    expect(registry.names).toEqual([
      'local',
      'docker',
      'podman',
      'kvm2',
      'hyperv',
      'vfkit',
      'qemu',
      'virtualbox',
      'hyperkit',
      'parallels',
      'vmware',
      'ssh',
      'none',
      'existing',
    ]);
  });

  it.each(['nope', 'toString', '__proto__', ''])('lists the known names for %j', (name) => {
    const registry = createDriverRegistry({ exec: answer(0) });
    expect(() => registry.get(name)).toThrow(MkCiError);
    try {
      registry.get(name);
    } catch (error) {
      expect(error).toMatchObject({
        code: 'DRV_UNKNOWN',
        advice:
          'Known drivers: local, docker, podman, kvm2, hyperv, vfkit, qemu, virtualbox, hyperkit, parallels, vmware, ssh, none, existing.',
      });
    }
  });
});
