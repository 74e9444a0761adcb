import { MkCiError, isMkCiError } from '../../errors.js';
import { lastLines, type Argv, type Exec, type ExecResult } from '../../exec.js';
import type { DriverHealth, MachineState } from '../driver.js';
import type { SeedNetwork } from '../seed/index.js';
import { parseOwner, type Hypervisor, type VmFiles, type VmImage, type VmReach } from '../vm/index.js';

const COMMAND_MS = 120_000;
const VERSION_MS = 20_000;
/** A boot with the help of the processor, on a busy host. */
const LIMITS = { bootMs: 180_000, stopMs: 60_000 } as const;

/** A machine as its tool lists it. */
export interface ToolMachine {
  readonly name: string;
  readonly state: MachineState;
  /** The field in which the owner was written. */
  readonly notes: string;
}

export interface ToolRun {
  readonly signal?: AbortSignal | undefined;
  /** A failure that is none, by the words of the tool. */
  readonly done?: RegExp;
}

/** Runs the tool. @throws {MkCiError} `HOST_MISSING_TOOL`; `DRV_FAILED`, `K8S_SNAPSHOT_NOT_FOUND`, `HOST_DISK_FULL` with its words */
export type Run = (argv: Argv, options?: ToolRun) => Promise<string>;

/** What a program for virtual machines does in its own way: argument lists and what is read from its answers. */
export interface ToolTraits {
  readonly driver: string;
  /** Says its version. */
  readonly versionCommand: Argv;
  /** `undefined` for words that mean that it does not work. */
  readonly parseVersion: (said: string) => string | undefined;
  readonly minMajor: number;
  readonly install: string;
  readonly url: string;
  /** Words of a tool that is there and may not be used, with what to do. */
  readonly ailments: readonly { readonly pattern: RegExp; readonly reason: string; readonly fix: string }[];
  readonly isIsolated: boolean;
  readonly network: SeedNetwork;
  /** Formats of disks with a boot loader that it can start from. */
  readonly diskFormats: readonly VmImage['diskFormat'][];
  list(run: Run, signal?: AbortSignal): Promise<readonly ToolMachine[]>;
  define(run: Run, machine: VmFiles & { readonly image: string }, signal: AbortSignal): Promise<void>;
  start(run: Run, machine: VmFiles, signal: AbortSignal): Promise<void>;
  pressPowerButton(run: Run, machine: VmFiles, signal: AbortSignal): Promise<void>;
  kill(run: Run, name: string): Promise<void>;
  pause(run: Run, name: string, signal: AbortSignal): Promise<void>;
  resume(run: Run, name: string, signal: AbortSignal): Promise<void>;
  reach(run: Run, machine: VmFiles, signal: AbortSignal): Promise<VmReach | undefined>;
  remove(run: Run, name: string): Promise<void>;
  readonly snapshots: {
    save(run: Run, name: string, snapshot: string, signal: AbortSignal): Promise<void>;
    restore(run: Run, name: string, snapshot: string, signal: AbortSignal): Promise<void>;
    list(run: Run, name: string, signal: AbortSignal): Promise<readonly string[]>;
    delete(run: Run, name: string, snapshot: string, signal: AbortSignal): Promise<void>;
  };
}

export interface ToolHypervisorOptions {
  readonly exec: Exec;
  readonly folder: string;
  readonly traits: ToolTraits;
}

/** Machines that a program of the host keeps, over its {@link ToolTraits}. */
export function createToolHypervisor({ exec, folder, traits }: ToolHypervisorOptions): Hypervisor {
  const images = new Map<string, string>();
  const run: Run = async (argv, { signal, done } = {}) => {
    const result = await exec(argv, { allowFailure: true, timeoutMs: COMMAND_MS, signal });
    if (result.exitCode === 0 || done?.test(`${result.stdout}\n${result.stderr}`) === true) return result.stdout;
    throw toolError(traits.driver, result);
  };
  /** A host without the tool has no machines of it. */
  const listAll = async (signal?: AbortSignal): Promise<readonly ToolMachine[]> => {
    try {
      return await traits.list(run, signal);
    } catch (error) {
      if (isMkCiError(error, 'HOST_MISSING_TOOL')) return [];
      throw error;
    }
  };
  const list = async (signal?: AbortSignal) =>
    (await listAll(signal)).flatMap(({ name, state, notes }) => {
      const owner = parseOwner(notes);
      return owner?.folder === folder ? [{ name, state, labels: owner.labels }] : [];
    });
  const find: Hypervisor['find'] = async (name, signal) =>
    (await list(signal)).find((machine) => machine.name === name);

  return {
    check: async (signal) => await checkTool(exec, traits, signal),
    limits: async () => LIMITS,
    accept: (image) => {
      if (image.boot.kind === 'firmware' && traits.diskFormats.includes(image.diskFormat)) return;
      throw new MkCiError('DRV_UNSUPPORTED', {
        message: `driver ${traits.driver} starts from disks with a boot loader, not from ${image.disk}`,
        advice: `Name one (${traits.diskFormats.join(', ')}) with cloud-init as node image.`,
      });
    },
    isIsolated: async () => traits.isIsolated,
    reserveAddress: async () => traits.network,
    makeDisk: async (_disk, { image }) => {
      images.set(image.key, image.disk); // its own programs make it, in the machine's folder, when the machine is made
    },
    define: async (files, signal) => {
      const { name, imageKey } = files.record;
      if ((await listAll(signal)).some((machine) => machine.name === name)) {
        throw new MkCiError('DRV_MACHINE_EXISTS', {
          message: `${name} is a machine of somebody else (${traits.driver})`,
        });
      }
      await traits.define(run, { ...files, image: images.get(imageKey) ?? '' }, signal);
    },
    start: async (files, signal) => {
      await traits.start(run, files, signal);
    },
    pressPowerButton: async (files, signal) => {
      await traits.pressPowerButton(run, files, signal);
    },
    kill: async (name) => {
      const state = (await find(name))?.state;
      if (state !== undefined && state !== 'stopped') await traits.kill(run, name);
    },
    pause: async (name, signal) => {
      await traits.pause(run, name, signal);
    },
    resume: async (name, signal) => {
      await traits.resume(run, name, signal);
    },
    find,
    list,
    reach: async (files, signal) => await traits.reach(run, files, signal),
    remove: async (name) => {
      if ((await find(name)) !== undefined) await traits.remove(run, name);
    },
    snapshots: {
      save: async (...args) => {
        await traits.snapshots.save(run, ...args);
      },
      restore: async (...args) => {
        await traits.snapshots.restore(run, ...args);
      },
      list: async (...args) => await traits.snapshots.list(run, ...args),
      delete: async (...args) => {
        await traits.snapshots.delete(run, ...args);
      },
    },
  };
}

/** What is needed to ask a program whether it works. */
export type CheckedTool = Pick<
  ToolTraits,
  'driver' | 'versionCommand' | 'parseVersion' | 'minMajor' | 'install' | 'url' | 'ailments'
>;

/** Is the program there, does it work, is it new enough? */
export async function checkTool(exec: Exec, tool: CheckedTool, signal: AbortSignal): Promise<DriverHealth> {
  signal.throwIfAborted();
  const { driver, versionCommand, install, url } = tool;
  const prefix = `DRV_${driver.toUpperCase()}`;
  const unusable = (reason: string, message: string, fix: string): DriverHealth => ({
    usable: false,
    problems: [{ reason, message, fix, url }],
    facts: {},
  });
  try {
    const result = await exec(versionCommand, { allowFailure: true, timeoutMs: VERSION_MS, signal });
    const said = `${result.stdout}\n${result.stderr}`;
    const ailment = tool.ailments.find(({ pattern }) => pattern.test(said));
    if (ailment !== undefined) return unusable(`${prefix}_${ailment.reason}`, firstLine(said), ailment.fix);
    const version = tool.parseVersion(said); // whatever the exit code: vmrun has no command that only says it
    if (version === undefined) {
      return unusable(`${prefix}_FAILED`, firstLine(said) || `${versionCommand[0]} does not say its version`, install);
    }
    if (Number.parseInt(version, 10) < tool.minMajor) {
      return unusable(`${prefix}_VERSION`, `version ${version} is too old`, `Update it to ${tool.minMajor} or later.`);
    }
    return { usable: true, problems: [], facts: { version } };
  } catch (error) {
    signal.throwIfAborted();
    if (!isMkCiError(error, 'HOST_MISSING_TOOL')) throw error;
    return unusable(`${prefix}_NOT_FOUND`, `${versionCommand[0]} is not installed`, install);
  }
}

function firstLine(said: string): string {
  return said.trim().split('\n', 1)[0]?.trim() ?? '';
}

function toolError(driver: string, { argv, stdout, stderr, timedOut }: ExecResult): MkCiError {
  const output = stderr.trim() === '' ? stdout : stderr;
  const said = timedOut ? 'did not end in time' : (lastLines(output, 3)[0] ?? 'failed without a word');
  const isSnapshot =
    /snapshot|checkpoint/i.test(output) && /could not find|not exist|unable to find|no such/i.test(output);
  const isFull = /no space left|not enough space|disk full/i.test(output);
  return new MkCiError(isSnapshot ? 'K8S_SNAPSHOT_NOT_FOUND' : isFull ? 'HOST_DISK_FULL' : 'DRV_FAILED', {
    message: `${driver}: ${said}`,
    details: { argv: [...argv], output },
  });
}
