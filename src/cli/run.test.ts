import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { steadyClock } from '../clock.js';
import { isMkCiError } from '../errors.js';
import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { createFakeClusters } from '../runner/fake-clusters.js';
import { fakeFormats } from '../runner/fake-formats.js';
import { createTestContext } from './call.test-kit.js';
import { environmentFilter, withSshHost } from './run-options.js';
import { composeRun } from './run-compose.js';
import { runCommand, type Finisher } from './run.js';

let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-run-command-');
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

const GO = (action: 'pass' | 'fail'): string =>
  `{"Action":"run","Package":"p","Test":"TestA"}\n{"Action":"${action}","Package":"p","Test":"TestA"}\n`;

/** Runs one suite that prints this, and finishes it with these. */
async function run(output: string, finishers: readonly Finisher[], environments = '') {
  await writeFile(join(folder.path, 'output'), output);
  await writeFile(
    join(folder.path, 'mk-ci.yaml'),
    `version: 1\n${environments}suites: [{ name: s, command: cat output, format: go-json }]\n`,
  );
  const { context, observed } = createTestContext(folder.path, { env: { PATH: process.env['PATH'] } });
  await runCommand([], { keep: 'never', out: join(folder.path, 'out') }, context, {
    createClusters: async () => createFakeClusters(),
    validate: composeRun(context).validate,
    clusterLoad: () => ({ cpus: 0, memoryMiB: 1 }),
    pickDriver: async () => 'local',
    formats: fakeFormats,
    history: async () => ({ tests: () => undefined, cells: () => undefined }),
    finishers: async () => finishers,
    openEngine: async () => {
      throw new Error('no engine was asked for');
    },
    now: steadyClock(),
  });
  return { exitCode: observed.exitCode, logged: observed.logged.join('\n') };
}

describe('--driver', () => {
  const pick = async (): Promise<string> => 'docker';

  it('auto stands for the best one, beside others that are named', async () => {
    expect(await environmentFilter({ driver: ['auto'] }, pick)).toEqual({ drivers: ['docker'] });
    expect(await environmentFilter({ driver: ['local', 'auto'] }, pick)).toEqual({ drivers: ['local', 'docker'] });
    expect(await environmentFilter({ driver: ['auto', 'docker'] }, pick)).toEqual({ drivers: ['docker'] });
  });

  it('asks no driver for its health when it names one', async () => {
    const never = async (): Promise<string> => await Promise.reject(new Error('asked'));
    expect(await environmentFilter({ driver: ['qemu'] }, never)).toEqual({ drivers: ['qemu'] });
    expect(await environmentFilter({}, never)).toEqual({});
  });
});

describe('--ssh-host', () => {
  const on = (driver: string, options = {}) => ({
    name: driver,
    driver,
    kubernetesVersion: 'v1.36.3',
    nodes: 1,
    options,
  });

  it('takes the place of the host of environments with that driver, and of nothing else', () => {
    const environments = [on('docker'), on('ssh', { host: 'old', podSubnet: '10.1.0.0/16' })];
    expect(withSshHost(environments, { sshHost: 'ci@new', sshKey: 'key' }, '/work')).toEqual([
      on('docker'),
      on('ssh', { host: 'ci@new', key: '/work/key', podSubnet: '10.1.0.0/16' }),
    ]);
    expect(withSshHost(environments, {}, '/work')).toBe(environments);
  });

  it('is refused where no environment has that driver', () => {
    expect(() => withSshHost([on('docker')], { sshHost: 'ci@new' }, '/work')).toThrow(
      'no environment uses that driver',
    );
  });
});

const fails = (name: string, isFile: boolean): Finisher => ({
  name,
  isFile,
  finish: async () => {
    throw new Error('no space left');
  },
});

describe('mk-ci run', () => {
  it('writes the files that can be written and does not pass when one can not', async () => {
    const marks: Finisher = {
      name: 'junit',
      isFile: true,
      finish: async (_, { junit }) => {
        await writeFile(junit, 'x');
        return junit;
      },
    };
    const { exitCode, logged } = await run(GO('pass'), [fails('html', true), marks]);
    expect(exitCode).toBe(39);
    expect(logged).toContain('html could not be written');
    expect(await readFile(join(folder.path, 'out', 'latest', 'junit.xml'), 'utf8')).toBe('x');
  });

  it('says what is wrong in options of all environments before anything is made', async () => {
    const environments = `environments:
  - { name: a, driver: docker, options: { proxymode: ipvs, cni: some } }
  - { name: b, driver: local, options: { extraFlags: 3 } }
  - { name: c, driver: podman, options: { extraArgs: { kubelet: { max-pods: 200 } } } }
`;
    const error: unknown = await run(GO('pass'), [], environments).catch((thrown: unknown) => thrown);
    if (!isMkCiError(error, 'CFG_INVALID')) throw error;
    expect(error.details['problems']).toEqual([
      expect.stringMatching(/^environment a: options.proxymode: not known; there are podSubnet/),
      'environment a: options.cni: own, none or { manifest: text }',
      expect.stringMatching(/^environment b: options.extraFlags: a list/),
    ]);
    await expect(readdir(join(folder.path, 'out'))).rejects.toThrow('ENOENT');
  });

  it('keeps the code of failed tests, and passes without the database', async () => {
    expect((await run(GO('fail'), [fails('html', true)])).exitCode).toBe(1);
    const { exitCode, logged } = await run(GO('pass'), [fails('flake database', false)]);
    expect(exitCode).toBe(0);
    expect(logged).toContain('flake database could not be written');
  });
});
