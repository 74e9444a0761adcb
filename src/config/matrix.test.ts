import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { expandEnvironments, globToRegExp, matchesEnvironment, selectEnvironments } from './matrix.js';
import type { EnvironmentEntry } from './schema.js';

// Drivers of later releases: the matrix does not depend on which ones exist.
const entry = (value: object): EnvironmentEntry => value as EnvironmentEntry;
const expand = (...entries: object[]) => expandEnvironments(entries.map(entry), 'v1.36.3');
const names = (...entries: object[]) => expand(...entries).environments.map(({ name }) => name);

describe('expandEnvironments', () => {
  it('takes every list as an axis and names environments shortly', () => {
    expect(names({ driver: ['docker', 'podman'], containerRuntime: ['containerd', 'docker'] })).toEqual([
      'docker-containerd-v1.36',
      'docker-docker-v1.36',
      'podman-containerd-v1.36',
      'podman-docker-v1.36',
    ]);
  });

  it('leaves the runtime out where a driver has none', () => {
    expect(expand({ driver: 'local', containerRuntime: 'docker' }).environments).toEqual([
      { name: 'local-v1.36', driver: 'local', kubernetesVersion: 'v1.36.3', nodes: 1, options: {} },
    ]);
  });

  it('lengthens names only where two would be alike', () => {
    expect(names({ driver: 'local', kubernetes: ['v1.36.3', 'v1.36.1', 'v1.35.4'] })).toEqual([
      'local-v1.36.3',
      'local-v1.36.1',
      'local-v1.35',
    ]);
    expect(names({ driver: 'local', nodes: [1, 3] })).toEqual(['local-v1.36-1n', 'local-v1.36-3n']);
  });

  it('excludes and includes combinations', () => {
    expect(
      names({
        driver: ['docker', 'podman'],
        containerRuntime: ['containerd', 'docker'],
        exclude: [{ driver: 'podman', containerRuntime: 'docker' }],
        include: [{ nodes: 3 }],
      }),
    ).toEqual([
      'docker-containerd-v1.36-1n',
      'docker-docker-v1.36',
      'podman-containerd-v1.36',
      'docker-containerd-v1.36-3n',
    ]);
  });

  it('reports duplicates, useless excludes, empty entries and shared names', () => {
    const messages = (...entries: object[]) =>
      expand(...entries).problems.map(({ path, message }) => `${path.join('.')}: ${message}`);
    expect(messages({ driver: 'local' }, { driver: 'local' })).toEqual([
      'environments.1: the same environment as environments[0] (local, v1.36.3, 1 nodes)',
    ]);
    expect(messages({ driver: 'local', exclude: [{ nodes: 7 }] })).toEqual([
      'environments.0.exclude.0: matches no environment of this entry',
    ]);
    expect(messages({ driver: 'local', exclude: [{ driver: 'local' }] })).toEqual([
      'environments.0.exclude: leaves no environment of this entry',
    ]);
    expect(messages({ name: 'one', driver: 'local', nodes: [1, 2] })[0]).toBe(
      'environments.0.name: one name for 2 environments; leave it out or split the entry',
    );
    expect(messages({ name: 'x', driver: 'local' }, { name: 'x', driver: 'docker' })).toEqual([
      'environments.1: named x like environments[0]; give one of them a name of its own',
    ]);
  });

  it('gives every environment a name of its own whenever it reports no problem', () => {
    const axis = <T>(...values: T[]) => fc.uniqueArray(fc.constantFrom(...values), { minLength: 1 });
    const entries = fc.array(
      fc.record({
        driver: axis('local', 'docker', 'podman', 'qemu'),
        containerRuntime: axis('containerd', 'docker'),
        kubernetes: axis('v1.36.3', 'v1.36.1', 'v1.35.4'),
        nodes: axis(1, 2, 3),
      }),
      { minLength: 1, maxLength: 4 },
    );
    fc.assert(
      fc.property(entries, (given) => {
        const { environments, problems } = expand(...given);
        if (problems.length === 0) expect(new Set(environments.map(({ name }) => name)).size).toBe(environments.length);
      }),
    );
  });
});

describe('selectEnvironments', () => {
  const { environments } = expand(
    { driver: 'local' },
    { driver: ['docker', 'podman'], containerRuntime: ['containerd', 'docker'] },
  );
  const select = (filter: Parameters<typeof selectEnvironments>[1]) =>
    selectEnvironments(environments, filter).map(({ name }) => name);

  it('filters by what the file has', () => {
    expect(select({ drivers: ['docker'], containerRuntimes: ['docker'] })).toEqual(['docker-docker-v1.36']);
    expect(select({ environments: ['*-docker-*', 'local'] })).toEqual([
      'local-v1.36',
      'docker-docker-v1.36',
      'podman-docker-v1.36',
    ]);
  });

  it('overrides with what the file does not have', () => {
    const local = expand({ driver: 'local' }).environments;
    expect(selectEnvironments(local, { drivers: ['qemu'], kubernetesVersions: ['v1.35.4'] })).toEqual([
      {
        name: 'qemu-containerd-v1.35',
        driver: 'qemu',
        containerRuntime: 'containerd',
        kubernetesVersion: 'v1.35.4',
        nodes: 1,
        options: {},
      },
    ]);
    expect(select({ drivers: ['docker'], containerRuntimes: ['cri-o'] })).toEqual(['docker-cri-o-v1.36']);
  });

  it('keeps the file as it is without flags', () => {
    expect(selectEnvironments(environments, {})).toEqual(environments);
  });
});

describe('globs', () => {
  it('match whole names, and a driver by its name', () => {
    expect(matchesEnvironment('local', { name: 'local-v1.36', driver: 'local' })).toBe(true);
    expect(matchesEnvironment('docker-*', { name: 'docker-containerd-v1.36', driver: 'docker' })).toBe(true);
    expect(matchesEnvironment('docker-c', { name: 'docker-containerd-v1.36', driver: 'docker' })).toBe(false);
  });

  it('take every character but * and ? literally', () => {
    fc.assert(
      fc.property(
        fc.string().filter((text) => !/[*?]/.test(text)),
        (text) => {
          expect(globToRegExp(text).test(text)).toBe(true);
          expect(globToRegExp(`${text}*`).test(`${text}tail`)).toBe(true);
        },
      ),
    );
  });
});
