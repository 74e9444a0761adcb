import { describe, expect, it } from 'vitest';

import { readFacts } from './engine.js';
import { DOCKER, PODMAN } from './engines.js';
import { NODE_CONTROLLERS, judgeEngine, judgeRootless } from './judge-engine.js';
import { ALL_CAPABILITIES, ENGINE, HOST, RESTRICTED } from './testing/facts.js';
import { ROOTLESS_DOCKER_INFO } from './testing/recorded-docker.js';

function reasons(...[traits, facts, of]: Parameters<typeof judgeEngine>): string[] {
  return judgeEngine(traits, facts, of).map(({ problem, isFatal }) => `${isFatal ? '!' : ''}${problem.reason}`);
}

describe('what is said of an engine', () => {
  it('is nothing where all is well', () => {
    expect(reasons(DOCKER, ENGINE, HOST)).toEqual([]);
  });

  it('names missing capabilities as a limit, and SYS_ADMIN as an obstacle', () => {
    expect(reasons(DOCKER, ENGINE, { ...HOST, boundingSet: RESTRICTED })).toEqual(['DRV_DOCKER_CAPABILITIES']);
    expect(reasons(DOCKER, ENGINE, { ...HOST, boundingSet: ALL_CAPABILITIES & ~(1n << 21n) })).toEqual([
      '!DRV_DOCKER_SYS_ADMIN',
    ]);
  });

  it('refuses what is too old or without cgroups', () => {
    expect(reasons(DOCKER, { ...ENGINE, version: '19.03.8' }, HOST)).toEqual(['!DRV_DOCKER_VERSION']);
    expect(reasons(DOCKER, { ...ENGINE, version: '20.10.24+dfsg1' }, HOST)).toEqual([]);
    expect(reasons(DOCKER, ENGINE, { ...HOST, cgroups: 'unknown' })).toEqual(['!DRV_DOCKER_CGROUPS']);
  });

  it('asks for runc where only crun is there and cgroups are old', () => {
    const crun = { ...ENGINE, defaultRuntime: 'crun', runtimes: ['crun'] };
    expect(reasons(PODMAN, crun, { ...HOST, cgroups: 'hybrid' })).toEqual(['!DRV_PODMAN_RUNTIME']);
  });

  it('comes with a remedy that is a sentence', () => {
    const all = judgeEngine(
      DOCKER,
      { ...ENGINE, version: '1.0', isRootless: true },
      { ...HOST, cgroups: 'unknown', boundingSet: 0n },
    );
    for (const { problem } of all) expect(problem.fix).toMatch(/^[A-Z].*\.$/);
  });

  it('refuses a rootless one on version 1 of cgroups, before all else that is missing', () => {
    const rootless = { ...ENGINE, isRootless: true, userIds: 1 };
    for (const cgroups of ['v1', 'hybrid'] as const) {
      expect(reasons(PODMAN, rootless, { ...HOST, cgroups })[0]).toBe('!DRV_ROOTLESS');
    }
  });

  it('knows the Docker of a user, and what was delegated to it', () => {
    const facts = readFacts(DOCKER, {}, ROOTLESS_DOCKER_INFO);
    expect(facts).toMatchObject({ version: '20.10.24+dfsg1', isRootless: true, controllers: [] });
    expect(reasons(DOCKER, facts, { ...HOST, cgroups: 'hybrid' })).toEqual(['!DRV_ROOTLESS']);
    const limits = { MemoryLimit: true, PidsLimit: true, CPUShares: true };
    expect(readFacts(DOCKER, {}, { ...ROOTLESS_DOCKER_INFO, ...limits }).controllers).toEqual([...NODE_CONTROLLERS]);
  });

  it('refuses a rootless one on version 2 where controllers are not delegated, and names them', () => {
    const rootless = { ...ENGINE, isRootless: true };
    expect(judgeRootless(DOCKER, ['memory', 'pids'], HOST)?.message).toMatch(/not delegated to the user: cpu$/);
    expect(reasons(DOCKER, rootless, HOST)).toEqual(['!DRV_ROOTLESS']);
    expect(reasons(DOCKER, { ...rootless, controllers: ['cpu', 'memory', 'pids'] }, HOST)).toEqual([
      'DRV_DOCKER_ROOTLESS',
    ]);
    // Everything is there: it does not matter what the user lacks.
    expect(reasons(DOCKER, { ...ENGINE, controllers: [] }, HOST)).toEqual([]);
  });
});
