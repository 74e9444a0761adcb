import { describe, expect, it } from 'vitest';

import { readFacts } from './engine.js';
import { DOCKER, PODMAN } from './engines.js';
import type { ContainerHostFacts } from './host-facts.js';
import { NODE_CONTROLLERS, judgeEngine, judgeRootless, type EngineFacts } from './judge-engine.js';
import { ROOTLESS_DOCKER_INFO } from './testing/recorded-docker.js';

const FULL = (1n << 41n) - 1n;
/** Bit 24: SYS_RESOURCE. */
const RESTRICTED = FULL & ~(1n << 24n);

const host: ContainerHostFacts = {
  boundingSet: FULL,
  lastCapability: 40,
  cgroups: 'v2',
  openFiles: 20_000,
  processes: 96_365,
  hasKmsg: true,
  hasModules: false,
  routes: [],
  networkPlugins: [],
  firewallPrograms: [],
};
const engine: EngineFacts = {
  version: '28.2.2',
  isRootless: false,
  cgroupVersion: '2',
  storageDriver: 'overlay2',
  defaultRuntime: 'runc',
  runtimes: ['runc'],
};

function reasons(...[traits, facts, of]: Parameters<typeof judgeEngine>): string[] {
  return judgeEngine(traits, facts, of).map(({ problem, isFatal }) => `${isFatal ? '!' : ''}${problem.reason}`);
}

describe('what is said of an engine', () => {
  it('is nothing where all is well', () => {
    expect(reasons(DOCKER, engine, host)).toEqual([]);
  });

  it('names missing capabilities as a limit, and SYS_ADMIN as an obstacle', () => {
    expect(reasons(DOCKER, engine, { ...host, boundingSet: RESTRICTED })).toEqual(['DRV_DOCKER_CAPABILITIES']);
    expect(reasons(DOCKER, engine, { ...host, boundingSet: FULL & ~(1n << 21n) })).toEqual(['!DRV_DOCKER_SYS_ADMIN']);
  });

  it('refuses what is too old or without cgroups', () => {
    expect(reasons(DOCKER, { ...engine, version: '19.03.8' }, host)).toEqual(['!DRV_DOCKER_VERSION']);
    expect(reasons(DOCKER, { ...engine, version: '20.10.24+dfsg1' }, host)).toEqual([]);
    expect(reasons(DOCKER, engine, { ...host, cgroups: 'unknown' })).toEqual(['!DRV_DOCKER_CGROUPS']);
  });

  it('asks for runc where only crun is there and cgroups are old', () => {
    const crun = { ...engine, defaultRuntime: 'crun', runtimes: ['crun'] };
    expect(reasons(PODMAN, crun, { ...host, cgroups: 'hybrid' })).toEqual(['!DRV_PODMAN_RUNTIME']);
  });

  it('comes with a remedy that is a sentence', () => {
    const all = judgeEngine(
      DOCKER,
      { ...engine, version: '1.0', isRootless: true },
      { ...host, cgroups: 'unknown', boundingSet: 0n },
    );
    for (const { problem } of all) expect(problem.fix).toMatch(/^[A-Z].*\.$/);
  });

  it('refuses a rootless one on version 1 of cgroups, before all else that is missing', () => {
    const rootless = { ...engine, isRootless: true, userIds: 1 };
    for (const cgroups of ['v1', 'hybrid'] as const) {
      expect(reasons(PODMAN, rootless, { ...host, cgroups })[0]).toBe('!DRV_ROOTLESS');
    }
  });

  it('knows the Docker of a user, and what was delegated to it', () => {
    const facts = readFacts(DOCKER, {}, ROOTLESS_DOCKER_INFO);
    expect(facts).toMatchObject({ version: '20.10.24+dfsg1', isRootless: true, controllers: [] });
    expect(reasons(DOCKER, facts, { ...host, cgroups: 'hybrid' })).toEqual(['!DRV_ROOTLESS']);
    const limits = { MemoryLimit: true, PidsLimit: true, CPUShares: true };
    expect(readFacts(DOCKER, {}, { ...ROOTLESS_DOCKER_INFO, ...limits }).controllers).toEqual([...NODE_CONTROLLERS]);
  });

  it('refuses a rootless one on version 2 where controllers are not delegated, and names them', () => {
    const rootless = { ...engine, isRootless: true };
    expect(judgeRootless(DOCKER, ['memory', 'pids'], host)?.message).toMatch(/not delegated to the user: cpu$/);
    expect(reasons(DOCKER, rootless, host)).toEqual(['!DRV_ROOTLESS']);
    expect(reasons(DOCKER, { ...rootless, controllers: ['cpu', 'memory', 'pids'] }, host)).toEqual([
      'DRV_DOCKER_ROOTLESS',
    ]);
    // Everything is there: it does not matter what the user lacks.
    expect(reasons(DOCKER, { ...engine, controllers: [] }, host)).toEqual([]);
  });
});
