import { describe, expect, it } from 'vitest';

import type { HostFacts } from '../cluster/host/facts.js';
import type { Driver, DriverHealth } from '../drivers/driver.js';
import { isMkCiError } from '../errors.js';
import { examine, renderDoctor, selectDrivers } from './doctor.js';

const host: HostFacts = {
  platform: 'linux',
  architecture: 'x64',
  nodeVersion: '20.20.0',
  cpus: 2,
  memoryBytes: 8 * 2 ** 30,
  disks: [{ purpose: 'cache', path: '/c', freeBytes: 50 * 2 ** 30 }],
};

function driver(name: string, check: Driver['check']): Driver {
  return {
    info: {
      name,
      summary: `the ${name} driver`,
      machines: 'none',
      bootstrap: 'attach',
      maxMachines: 1,
      platforms: ['linux'],
      architectures: ['amd64'],
      containerRuntimes: [],
      experimental: name === 'odd',
    },
    check,
  };
}

const healthy: DriverHealth = { usable: true, problems: [], facts: { version: '1.2' } };
const options = { readHost: async () => host, signal: new AbortController().signal };

describe('doctor', () => {
  it('reports a driver that fails or hangs as not usable and asks the others all the same', async () => {
    const report = await examine({
      ...options,
      checkTimeoutMs: 20,
      drivers: [
        driver('good', async () => healthy),
        driver('bad', async () => {
          throw new Error('boom');
        }),
        driver('odd', async () => await new Promise<never>(() => undefined)),
      ],
    });
    expect(report.drivers.map(({ name, usable }) => [name, usable])).toEqual([
      ['good', true],
      ['bad', false],
      ['odd', false],
    ]);
    expect(report.drivers[1]!.problems[0]!.message).toContain('boom');
    expect(report.drivers[2]!.problems[0]!.message).toContain('no answer within 0.02 s');
  });

  it('shows state, facts and remedies of every driver', async () => {
    const problem = { reason: 'DRV_X', message: 'no device', fix: 'Load the module.', url: 'https://example.org' };
    const report = await examine({
      ...options,
      drivers: [
        driver('good', async () => healthy),
        driver('odd', async () => ({ usable: true, problems: [problem], facts: {} })),
        driver('none', async () => ({ usable: false, problems: [problem], facts: {} })),
      ],
    });
    const text = renderDoctor(report);
    expect(text).toContain('good        works – the good driver\n  version 1.2\n');
    expect(text).toContain('odd         works, limited (experimental) – the odd driver');
    expect(text).toContain('none        can not work here');
    expect(text).toContain('  ! no device (DRV_X)\n    Load the module. See https://example.org\n');
    expect(text).toContain('cache       /c, 50.0 GiB free');
  });

  it('lists the known drivers when the one asked for is unknown', () => {
    const drivers = [driver('a', async () => healthy), driver('b', async () => healthy)];
    expect(selectDrivers(drivers, 'b')).toEqual([drivers[1]]);
    expect(() => selectDrivers(drivers, 'c')).toThrow(/'c'/);
    try {
      selectDrivers(drivers, 'c');
    } catch (error) {
      expect(isMkCiError(error, 'DRV_UNKNOWN') && error.advice).toBe('Known drivers: a, b.');
    }
  });
});
