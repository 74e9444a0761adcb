import { copyFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { MkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { Labels } from '../../process.js';
import type { Driver, Machine, MachineSpec, MachineState } from '../driver.js';

export interface FakeDriverOptions {
  /** Runs the commands of all machines; gets argv as given. */
  readonly exec: Exec;
  /** Stands for the file systems of the machines: `<folder>/<machine>/<path>`. */
  readonly folder: string;
}

interface FakeMachine {
  readonly spec: MachineSpec;
  state: MachineState;
}

/** A driver whose machines are entries of a map and folders of the host: for tests of what stands on drivers. */
export function createFakeDriver({ exec, folder }: FakeDriverOptions): Driver {
  const machines = new Map<string, FakeMachine>();
  const saved = new Map<string, Map<string, MachineState>>();

  const find = (name: string): FakeMachine => {
    const machine = machines.get(name);
    if (machine === undefined) throw new MkCiError('DRV_MACHINE_NOT_FOUND', { message: name });
    return machine;
  };
  const handle = (name: string): Machine => ({
    name,
    internalAddress: '127.0.0.1',
    exec: async (argv, options) => {
      if (find(name).state !== 'running') throw new MkCiError('DRV_FAILED', { message: `${name} does not run` });
      return await exec(argv, options);
    },
    copyTo: async (localPath, remotePath) => {
      const target = join(folder, find(name).spec.name, remotePath);
      await mkdir(dirname(target), { recursive: true });
      await copyFile(localPath, target);
    },
    copyFrom: async (remotePath, localPath) => {
      await mkdir(dirname(localPath), { recursive: true });
      await copyFile(join(folder, find(name).spec.name, remotePath), localPath);
    },
    endpoint: async (port) => {
      if (find(name).spec.publishedPorts?.includes(port) !== true) {
        throw new MkCiError('DRV_FAILED', { message: `port ${port} of ${name} is not published` });
      }
      return { host: '127.0.0.1', port };
    },
  });
  const move = (name: string, from: readonly MachineState[], to: MachineState, signal: AbortSignal): void => {
    signal.throwIfAborted();
    const machine = find(name);
    if (from.includes(machine.state)) machine.state = to;
  };

  return {
    info: {
      name: 'fake',
      summary: 'machines that are only remembered, for tests',
      machines: 'created',
      bootstrap: 'processes',
      maxMachines: 10,
      platforms: ['linux', 'darwin', 'win32'],
      architectures: ['amd64', 'arm64'],
      containerRuntimes: [],
      experimental: true,
    },
    check: async (signal) => {
      signal.throwIfAborted();
      return { usable: true, problems: [], facts: { machines: String(machines.size) } };
    },
    machines: {
      create: async (spec, signal) => {
        signal.throwIfAborted();
        const existing = machines.get(spec.name);
        if (existing === undefined) machines.set(spec.name, { spec, state: 'running' });
        else if (JSON.stringify(existing.spec) !== JSON.stringify(spec)) {
          throw new MkCiError('DRV_MACHINE_EXISTS', { message: spec.name });
        }
        return handle(spec.name);
      },
      attach: async (name, signal) => {
        signal.throwIfAborted();
        return handle(find(name).spec.name);
      },
      start: async (name, signal) => {
        move(name, ['stopped', 'broken'], 'running', signal);
        return handle(name);
      },
      stop: async (name, signal) => {
        move(name, ['running', 'paused'], 'stopped', signal);
      },
      pause: async (name, signal) => {
        move(name, ['running'], 'paused', signal);
      },
      unpause: async (name, signal) => {
        move(name, ['paused'], 'running', signal);
      },
      remove: async (name, signal) => {
        signal.throwIfAborted();
        machines.delete(name);
        saved.delete(name);
      },
      list: async (labels, signal) => {
        signal.throwIfAborted();
        return [...machines.values()]
          .filter(({ spec }) => hasLabels(spec.labels, labels))
          .map(({ spec, state }) => ({ name: spec.name, state, labels: spec.labels }));
      },
    },
    snapshots: {
      save: async (name, snapshot, signal) => {
        signal.throwIfAborted();
        const of = saved.get(name) ?? new Map<string, MachineState>();
        saved.set(name, of.set(snapshot, find(name).state));
      },
      restore: async (name, snapshot, signal) => {
        signal.throwIfAborted();
        const state = saved.get(name)?.get(snapshot);
        if (state === undefined) throw new MkCiError('K8S_SNAPSHOT_NOT_FOUND', { message: `${name}: ${snapshot}` });
        find(name).state = 'running';
        return handle(name);
      },
      list: async (name, signal) => {
        signal.throwIfAborted();
        return [...(saved.get(find(name).spec.name)?.keys() ?? [])];
      },
      delete: async (name, snapshot, signal) => {
        signal.throwIfAborted();
        saved.get(name)?.delete(snapshot);
      },
    },
  };
}

function hasLabels(have: Labels, want: Labels): boolean {
  return Object.entries(want).every(([key, value]) => have[key] === value);
}
