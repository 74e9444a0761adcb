import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { isMkCiError } from '../../../../errors.js';
import { exec } from '../../../../exec.js';
import { createTemporaryFolder } from '../../../../files.js';
import { planMachines } from '../machines/cluster-machines.js';
import { renewMachines } from './kubeadm-state.js';
import { readNodeList, writeNodeList } from './node-list.js';
import { LIST_CHANGED, PUT_STATE, SAVE_STATE } from './node-state.js';
import { recipeDigest } from '../render/recipe.js';

describe('renewMachines', () => {
  const machines = planMachines({ name: 'my-cluster', nodes: 2 });

  it('gives names that the machines of the cluster do not have, and the first ones again the next time', () => {
    const renewed = renewMachines(machines, machines);
    expect(renewed.map(({ name }) => name)).toEqual(['my-cluster-control-plane-b', 'my-cluster-worker-1-b']);
    expect(renewMachines(renewed, machines).map(({ name }) => name)).toEqual(machines.map(({ name }) => name));
  });

  it('gives a free name to each node, also where an earlier restore changed those of others only', () => {
    const mixed = [
      ...renewMachines(machines, machines),
      { name: 'my-cluster-worker-2', node: 'worker-2', isControlPlane: false },
    ];
    expect(renewMachines(mixed, mixed).map(({ name }) => name)).toEqual([
      'my-cluster-control-plane',
      'my-cluster-worker-1',
      'my-cluster-worker-2-b',
    ]);
  });

  it('has the nodes of the snapshot, without the notes of the journal', () => {
    const noted = machines.map((machine) => ({ ...machine, journalId: 'j' }));
    const [renewed, ...others] = renewMachines(noted, [
      { node: 'control-plane', isControlPlane: true, podSubnet: 's' },
    ]);
    expect(others).toEqual([]);
    expect(renewed).toEqual({
      name: 'my-cluster-control-plane-b',
      node: 'control-plane',
      isControlPlane: true,
      podSubnet: 's',
    });
  });
});

describe('the list of saved nodes', () => {
  it('is read as it was written, without names of machines', async () => {
    await using folder = await createTemporaryFolder();
    const [first, second] = planMachines({ name: 'c', nodes: 2 });
    await writeNodeList(folder.path, [{ ...first!, podSubnet: '10.244.0.0/24', journalId: 'j' }, second!]);
    expect(await readNodeList(folder.path)).toEqual([
      { node: 'control-plane', isControlPlane: true, podSubnet: '10.244.0.0/24' },
      { node: 'worker-1', isControlPlane: false },
    ]);
  });

  it('is told to be broken when it is', async () => {
    await using folder = await createTemporaryFolder();
    const isBroken = (error: unknown): boolean => isMkCiError(error, 'K8S_SNAPSHOT_BROKEN');
    await expect(readNodeList(folder.path)).rejects.toSatisfy(isBroken);
    for (const text of ['', '{}', '[{"node":1}]']) {
      await writeFile(join(folder.path, 'nodes.json'), text);
      await expect(readNodeList(folder.path)).rejects.toSatisfy(isBroken);
    }
    expect(await readFile(join(folder.path, 'nodes.json'), 'utf8')).toBe('[{"node":1}]');
  });
});

describe('scripts for the state of nodes', () => {
  it('stop the others only once there is a trap that lets them go on, in one compound command', () => {
    expect(SAVE_STATE.trim()).toMatch(/^\{[^]*\}$/);
    expect(SAVE_STATE.indexOf('kill -STOP -1')).toBeGreaterThan(SAVE_STATE.indexOf("trap 'kill -CONT -1' EXIT"));
  });

  it('take what changed outside of /var, but for what is mounted there', async () => {
    await using folder = await createTemporaryFolder();
    const at = (...parts: string[]): string => join(folder.path, 'node', ...parts);
    const mounts = join(folder.path, 'mounts');
    const [modules, marker] = [at('usr/lib/modules'), at('var/lib/mk-ci/created')];
    for (const path of [modules, at('etc'), dirname(marker)]) await mkdir(path, { recursive: true });
    for (const path of [at('etc/of-the-image'), marker]) await writeFile(path, '');
    const soon = new Date(Date.now() + 50);
    await utimes(marker, soon, soon);
    await delay(100);
    await writeFile(at('etc/new'), '');
    await writeFile(join(modules, 'of-the-host'), '');
    const script = LIST_CHANGED.replaceAll('/var', at('var'))
      .replace('find / ', `find ${at()}/ `)
      .replace('/proc/self/mountinfo', mounts);
    const list = async (mountinfo: string): Promise<string[]> => {
      await writeFile(mounts, mountinfo);
      const { stdout } = await exec(['sh', '-e'], { input: script });
      return stdout.split('\0').slice(0, -1).sort();
    };

    expect(await list('1 0 0:1 / / rw - a a rw\n')).toEqual([
      ...[at('etc'), at('etc/new')],
      ...[modules, join(modules, 'of-the-host')],
    ]);
    expect(await list(`1 0 0:1 / / rw - a a rw\n2 1 0:2 / ${modules} ro - b b ro\n`)).toEqual([
      at('etc'),
      at('etc/new'),
    ]);
  });

  it('leave of a new machine what the archive has, and write over what both have', async () => {
    await using folder = await createTemporaryFolder();
    const at = (...parts: string[]): string => join(folder.path, ...parts);
    const write = async (path: string, text: string): Promise<void> => {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);
    };
    const names = async (): Promise<string[]> => (await readdir(at('var'), { recursive: true })).sort();
    // The saved node.
    const saved = [
      'lib/was-folder',
      'lib/was-file/x',
      'lib/both',
      'lib/new/a b',
      'lib/line\nbreak',
      'lib/grew',
      'log/pods/0.log',
    ];
    for (const name of saved) await write(at('var', name), `saved ${name}`);
    await mkdir(at('var/lib/empty'));
    const wanted = await names();
    await write(at('usr/program'), 'saved program');
    await exec(['tar', '-C', '/', '-cSf', at('state.tar'), '--absolute-names', at('usr'), at('var')]);
    await rm(at('usr/program'));
    await rm(at('var'), { recursive: true });
    // The new one, as its image and its start made it.
    for (const name of ['lib/both', 'lib/line\nbreak', 'lib/old/deep/gone', 'lib/with space', 'log/of-this-start'])
      await write(at('var', name), 'of the image, and longer than what was saved');
    await write(at('var/lib/was-folder/y'), 'of the image');
    await write(at('var/lib/was-file'), 'of the image');
    await mkdir(at('var/lib/mk-ci'));
    await rename(at('state.tar'), at('var/lib/mk-ci/state.tar'));
    const { ino } = await stat(at('var/lib/both'));
    await copyFile('/bin/sleep', at('usr/program'));
    const running = spawn(at('usr/program'), ['60']);
    await once(running, 'spawn');

    for (const name of ['systemctl', 'mountpoint']) await writeFile(at(name), '#!/bin/sh\n', { mode: 0o755 });
    const script = PUT_STATE.replaceAll('/var', at('var')).replaceAll('/run/', `${folder.path}/`);
    try {
      await exec(['sh', '-e'], { input: script, env: { PATH: `${folder.path}:${process.env['PATH'] ?? ''}` } });
    } finally {
      running.kill();
    }

    expect(await readFile(at('usr/program'), 'utf8')).toBe('saved program');
    expect(await names()).toEqual([...wanted, 'lib/mk-ci', 'lib/mk-ci/created', 'log/of-this-start'].sort());
    for (const name of saved) expect(await readFile(at('var', name), 'utf8')).toBe(`saved ${name}`);
    expect((await stat(at('var/lib/both'))).ino).toBe(ino);
  });
});

describe('recipeDigest', () => {
  const spec = { driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 1 };

  it('changes with what is written into nodes, and with nothing else', () => {
    const digest = recipeDigest(spec);
    expect(recipeDigest({ ...spec, options: {} })).toBe(digest);
    for (const other of [
      { ...spec, containerRuntime: 'docker' },
      { ...spec, kubernetesVersion: 'v1.35.4' },
      { ...spec, options: { podSubnet: '10.100.0.0/16' } },
      { ...spec, options: { extraArgs: { kubelet: { v: '4' } } } },
      { ...spec, options: { addons: ['metrics-server'] } },
    ]) {
      expect(recipeDigest(other)).not.toBe(digest);
    }
  });
});
