import { describe, expect, it } from 'vitest';

import { isMkCiError } from '../errors.js';
import type { Exec } from '../exec.js';
import { chooseDriver, rankDrivers } from './choose-driver.js';
import type { Driver, DriverHealth, DriverInfo } from './driver.js';
import { createDriverRegistry } from './registry.js';

const { signal } = new AbortController();
const healthy: DriverHealth = { usable: true, problems: [], facts: {} };
const ill = (message: string): DriverHealth => ({
  usable: false,
  problems: [{ reason: 'DRV_X', message, fix: 'Install it.' }],
  facts: {},
});

function driver(name: string, info: Partial<DriverInfo>, check: Driver['check'] = async () => healthy): Driver {
  return {
    info: {
      ...{ name, summary: `${name} clusters`, machines: 'created', bootstrap: 'kubeadm', maxMachines: 1 },
      ...{ platforms: ['linux'], architectures: ['amd64'], containerRuntimes: [], experimental: false },
      ...info,
    },
    check,
  };
}

const registryOf = (drivers: readonly Driver[]): Parameters<typeof chooseDriver>[0] => ({
  names: drivers.map(({ info }) => info.name),
  get: (name) => {
    const found = drivers.find(({ info }) => info.name === name);
    if (found === undefined) throw new Error(name);
    return found;
  },
});
const processes = { machines: 'none', bootstrap: 'processes' } as const;
const choose = async (drivers: readonly Driver[]): Promise<string> =>
  (await chooseDriver(registryOf(drivers), { signal, platform: 'linux' })).name;

describe('the choice of a driver', () => {
  it('prefers pods that really run, and experimental drivers to nothing', () => {
    const all = [
      driver('local', processes),
      driver('vm', { experimental: true }),
      driver('one', {}),
      driver('two', {}),
      driver('theirs', { machines: 'none', bootstrap: 'attach' }),
      driver('given', { machines: 'given' }),
      driver('elsewhere', { platforms: ['darwin'] }),
    ];
    expect(rankDrivers(all, 'linux').map(({ info }) => info.name)).toEqual(['one', 'two', 'local', 'vm']);
  });

  it.each([
    // Those that people prefer on each system (priorities of minikube's registry), experimental ones after what is proven.
    ['linux', 'docker podman local kvm2 qemu virtualbox vmware'],
    ['darwin', 'local vfkit qemu virtualbox hyperkit parallels vmware'],
    ['win32', 'hyperv virtualbox vmware'],
    ['freebsd', ''],
  ] as const)('on %s tries %s, and never a host that is given or a cluster of others', (platform, order) => {
    const exec: Exec = async () => await Promise.reject(new Error('nothing is run to rank'));
    const registry = createDriverRegistry({ exec, platform });
    const all = registry.names.map((name) => registry.get(name));
    expect(rankDrivers(all, platform).map(({ info }) => info.name)).toEqual(order.split(' ').filter(Boolean));
  });

  it.each([
    [[], 'one'],
    [['one'], 'two'],
    [['one', 'two'], 'local'],
    [['one', 'two', 'local'], 'vm'],
  ])('when %j do not work is %s, and says why not the better ones', async (broken, expected) => {
    const check = (name: string) => async () => (broken.includes(name) ? ill(`no ${name} here`) : healthy);
    const all = [
      driver('local', processes, check('local')),
      driver('vm', { experimental: true }, check('vm')),
      driver('one', {}, check('one')),
      driver('two', {}, check('two')),
    ];
    const { name, why } = await chooseDriver(registryOf(all), { signal, platform: 'linux' });
    expect(name).toBe(expected);
    expect(why).toContain(`driver ${expected}: ${expected} clusters`);
    for (const other of broken) expect(why).toContain(`not ${other}: no ${other} here`);
  });

  it('falls to the next one that works, and says what was wrong with the better ones', async () => {
    const all = [
      driver('local', processes),
      driver('one', {}, async () => ill('its daemon is not there')),
      driver('two', {}, async () => await Promise.reject(new Error('broken pipe'))),
    ];
    const { name, why } = await chooseDriver(registryOf(all), { signal, platform: 'linux' });
    expect(name).toBe('local');
    expect(why).toBe('driver local: local clusters (not one: its daemon is not there; not two: broken pipe)');
  });

  it('passes over one that was tried, and one whose machines have nothing to be made of', async () => {
    const never = async (): Promise<never> => await Promise.reject(new Error('it is not asked again'));
    const all = [driver('local', processes), driver('one', {}, never), driver('two', {})];
    const prepared: string[] = [];
    const { name, why } = await chooseDriver(registryOf(all), {
      ...{ signal, platform: 'linux' },
      tried: new Map([['one', 'no space for its container']]),
      prepare: async (candidate) => {
        prepared.push(candidate);
        if (candidate === 'two') await Promise.reject(new Error('no node image'));
      },
    });
    expect(name).toBe('local');
    expect(why).toContain('(not one: no space for its container; not two: no node image)');
    expect(prepared).toEqual(['two', 'local']);
  });

  it('asks no further than it has to', async () => {
    const asked: string[] = [];
    const noted = (name: string): Driver =>
      driver(name, {}, async () => {
        asked.push(name);
        return healthy;
      });
    expect(await choose([noted('one'), noted('two')])).toBe('one');
    expect(asked).toEqual(['one']);
  });

  it('fails with every reason when none works', async () => {
    const all = [driver('one', {}, async () => ill('no daemon')), driver('vm', {}, async () => ill('no QEMU'))];
    const error = await choose(all).catch((thrown: unknown) => thrown);
    expect(isMkCiError(error, 'DRV_UNUSABLE')).toBe(true);
    expect(String(error)).toContain('one: no daemon; vm: no QEMU');
  });

  it('stops when it is told to, whatever a driver makes of that', async () => {
    const stop = new AbortController();
    const all = [
      driver('one', {}, async () => {
        stop.abort(new Error('enough'));
        return await Promise.reject(new Error('aborted'));
      }),
      driver('two', {}),
    ];
    await expect(chooseDriver(registryOf(all), { signal: stop.signal, platform: 'linux' })).rejects.toThrow('enough');
    const late = new AbortController();
    const prepare = async (): Promise<void> => {
      late.abort(new Error('enough'));
      await Promise.reject(new Error('no node image'));
    };
    const options = { signal: late.signal, platform: 'linux', prepare } as const;
    await expect(chooseDriver(registryOf([driver('two', {})]), options)).rejects.toThrow('enough');
  });
});
