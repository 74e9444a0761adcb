/**
 * Driver contract: a driver makes machines, runs commands and copies files on them, and removes them. It knows nothing
 * of Kubernetes; `src/cluster` composes a driver with a bootstrapper and a container runtime and never asks for a
 * driver's name, only for its abilities.
 *
 * Rules, for every driver (checked by `driver-contract.ts`):
 *
 * - Order: `check`, then `create`, then any use of the machine, then `remove`. `start`, `stop`, `pause`, `unpause` in any
 *   order in between.
 * - No-ops when already done: `start` of a running machine, `stop` of a stopped one, `pause`, `unpause`, and `remove`
 *   of one that is gone. `create` of an existing machine of the same spec and owner returns it.
 * - Parallel: calls for different machines may run at the same time, also from several processes of the host. Calls for
 *   one machine are made one after the other.
 * - `create` returns a started machine: commands run on it. What the guest does after that is not waited for.
 * - After a failed or aborted `create`, nothing with the machine's labels is left, or the error names what is.
 * - Everything a driver makes carries the labels of the spec on the thing itself, so that `list` finds it when all state
 *   files are gone.
 * - Nothing here reads the clock, the environment or the home folder: the factory is given what it needs.
 */

import type { Argv, ExecOptions, ExecResult } from '../exec.js';
import type { Labels } from '../process.js';

export type Architecture = 'amd64' | 'arm64';

/** What a driver can do, asked by `cluster`, shown by `doctor`. */
export interface DriverInfo {
  /** As given to `--driver`. */
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  /**
   * `created`: it makes machines. `given`: it works on a machine that exists and puts it back as it was.
   * `none`: there is no machine of its own, only processes of this host or an API (a kubeconfig).
   */
  readonly machines: 'created' | 'given' | 'none';
  /** How one machine holds a cluster: as plain processes of it, as a node with a kubelet, or not at all (attached). */
  readonly bootstrap: 'processes' | 'kubeadm' | 'attach';
  /** Its machines run on the kernel of this host, and share what that limits. @default false */
  readonly sharesKernel?: boolean;
  /** Most machines a cluster can have. */
  readonly maxMachines: number;
  readonly platforms: readonly NodeJS.Platform[];
  readonly architectures: readonly Architecture[];
  /** Container runtimes that may be chosen; empty when there is none inside. */
  readonly containerRuntimes: readonly string[];
  readonly experimental: boolean;
  /** Deadline of the start of a cluster, where the caller gives none and that of its bootstrap is too short. */
  readonly startMs?: number;
  /** Names of the options of an environment that are the driver's own; see {@link DriverOptions}. @default none */
  readonly options?: readonly string[];
}

/** Settings of an environment, as in the configuration. A driver reads those that `info.options` names and checks them itself. */
export type DriverOptions = Readonly<Record<string, unknown>>;

/** One fact about the host, such as a missing program, with the way out. */
export interface DriverProblem {
  /** Stable word such as `DRV_KVM_NO_DEVICE`. Where it is a code of the error catalogue, a start fails with that code. */
  readonly reason: string;
  readonly message: string;
  /** In the imperative. */
  readonly fix: string;
  readonly url?: string;
}

export interface DriverHealth {
  /** False when `create` can not work. */
  readonly usable: boolean;
  /** What stands in the way (not usable), or limits it (usable). */
  readonly problems: readonly DriverProblem[];
  /** What was found: versions, accelerator, cgroup version … */
  readonly facts: Readonly<Record<string, string>>;
}

/** What a machine shall be. Sizes are wishes where a driver has no way to bound them. */
export interface MachineSpec {
  /** Unique on the host, `[a-z0-9-]{1,63}`. */
  readonly name: string;
  readonly labels: Labels;
  readonly cpus?: number;
  readonly memoryMiB?: number;
  readonly diskMiB?: number;
  /**
   * Machines with the same word are on one network of their own and reach each other by address. It is made with the first
   * of them and removed with the last. @default the name of the machine
   */
  readonly network?: string;
  /** Node image or disk, as the driver names it; for a given machine, the folder of what is put on it. */
  readonly image?: string;
  /**
   * Subnets that what runs on the machine will use: a new network keeps out of them, and a machine that is given and has ways into
   * them is refused. @default none
   */
  readonly subnets?: readonly string[];
  /** Ports of the machine that must be reachable from this host on loopback. */
  readonly publishedPorts?: readonly number[];
  /** Instances of inotify that what runs on the machine will have, where it shares those of the host's kernel. @default 0 */
  readonly inotifyInstances?: number;
  /** For drivers with `info.options`. */
  readonly options?: DriverOptions;
}

export type MachineState = 'running' | 'paused' | 'stopped' | 'broken';

export interface MachineSummary {
  readonly name: string;
  readonly state: MachineState;
  readonly labels: Labels;
}

export interface SessionOptions {
  /** Kind of terminal that the command gets, such as `xterm`, when the standard streams of this process are one. @default none */
  readonly terminalType?: string | undefined;
  /** Ends the command. */
  readonly signal?: AbortSignal | undefined;
}

/** A machine that was started. */
export interface Machine {
  readonly name: string;
  /** Runs a command as root, or as the user mk-ci runs as where the machine is this host. Same errors as `Exec`. */
  exec(argv: Argv, options?: ExecOptions): Promise<ExecResult>;
  /**
   * Runs a command with the standard streams of this process, for somebody who sits before it. Absent where there is no way.
   *
   * @returns its exit code; 128 + n when signal n ended it
   */
  session?(argv: Argv, options?: SessionOptions): Promise<number>;
  /** Copies a file or folder onto the machine; parents are made, an existing file is replaced as a whole. */
  copyTo(localPath: string, remotePath: string, signal?: AbortSignal): Promise<void>;
  copyFrom(remotePath: string, localPath: string, signal?: AbortSignal): Promise<void>;
  /** Where this host reaches a published port: on its loopback, or at the address of a given host. */
  endpoint(port: number): Promise<{ readonly host: string; readonly port: number }>;
  /** Address by which machines of the same cluster reach each other. */
  readonly internalAddress: string;
}

/** Keeps the state of a machine and brings it back. */
export interface MachineSnapshots {
  save(machine: string, snapshot: string, signal: AbortSignal): Promise<void>;
  restore(machine: string, snapshot: string, signal: AbortSignal): Promise<Machine>;
  list(machine: string, signal: AbortSignal): Promise<readonly string[]>;
  delete(machine: string, snapshot: string, signal: AbortSignal): Promise<void>;
}

/**
 * Keeps all of a running machine, memory included, as files of this host, and makes machines that go on where it was. They share
 * keys and host name of the saved one.
 */
export interface MachineStates {
  /**
   * Writes the state of a machine into a folder, which is made. The machine stands still meanwhile, and goes on. Large files are
   * read-only and may be hard links: whoever copies the folder may link them too.
   *
   * @throws {MkCiError} `HOST_DISK_FULL`; what is in the folder then is of no use
   */
  save(machine: string, folder: string, signal: AbortSignal): Promise<void>;
  /**
   * Like `create` of machines, with the processors and the memory of the saved one; the folder is not needed any more when it
   * returns.
   *
   * @throws {MkCiError} `K8S_SNAPSHOT_BROKEN`, `DRV_UNSUPPORTED` for a state of another image
   */
  create(spec: MachineSpec, folder: string, signal: AbortSignal): Promise<Machine>;
  /** Whether several machines with these options may go on from one state: not where they would meet in a network, each with the same MAC. */
  canRepeat(options: DriverOptions): boolean;
}

/** Where the root file systems of machines come from. */
export interface MachineImages {
  /** Identity of the content of an image; `undefined` when the driver does not have it. */
  identify(reference: string, signal: AbortSignal): Promise<string | undefined>;
  /** Whether an identity is a reference too, one that means the same content for ever. @default false */
  readonly acceptsIdentity?: boolean;
}

export interface Driver {
  readonly info: DriverInfo;
  /**
   * Is everything here that it needs, and does it really work? Reads and probes; changes nothing that lasts.
   *
   * @param options those of the environment, where it has some
   */
  check(signal: AbortSignal, options?: DriverOptions): Promise<DriverHealth>;
  /** Absent when the driver makes no machines (`info.machines === 'none'`). */
  readonly machines?: MachineOperations;
  /** Absent when machines are not made from images. */
  readonly images?: MachineImages;
  /** Absent when machines can not be kept and brought back. */
  readonly snapshots?: MachineSnapshots;
  /** Absent when a machine can not be kept as files. */
  readonly states?: MachineStates;
}

export interface MachineOperations {
  /** Makes and starts a machine. Does not install anything in it. */
  create(spec: MachineSpec, signal: AbortSignal): Promise<Machine>;
  /** A machine that runs, by name. @throws {MkCiError} `DRV_MACHINE_NOT_FOUND` */
  attach(name: string, signal: AbortSignal): Promise<Machine>;
  start(name: string, signal: AbortSignal): Promise<Machine>;
  /** Orderly, with a deadline of its own, then by force. The disk stays. */
  stop(name: string, signal: AbortSignal): Promise<void>;
  /** Freezes all processes where they are; memory stays. */
  pause(name: string, signal: AbortSignal): Promise<void>;
  unpause(name: string, signal: AbortSignal): Promise<void>;
  /** Removes the machine and all that was made for it. Succeeds when it is already gone. */
  remove(name: string, signal: AbortSignal): Promise<void>;
  /** Machines of this driver that carry all these labels, found without state files. */
  list(labels: Labels, signal: AbortSignal): Promise<readonly MachineSummary[]>;
}
