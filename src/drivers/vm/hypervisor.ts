import type { Exec } from '../../exec.js';
import type { Labels } from '../../process.js';
import type { DriverHealth, MachineSpec, MachineState } from '../driver.js';
import type { SeedNetwork } from '../seed/index.js';
import type { MachinePaths, MachineRecord, SecondNetwork } from './machine-folder.js';
import type { VmImage } from './vm-image.js';

/** For a cluster in machines: a translated control plane needs some ten minutes beside other work, a real one half a minute. Which one it is, nobody knows before. */
export const VM_START_MS = 1_800_000;

/** A machine by what is kept of it. */
export interface VmFiles {
  readonly record: MachineRecord;
  readonly paths: MachinePaths;
}

/** How this host and other machines reach a guest. */
export interface VmReach {
  readonly ssh: { readonly host: string; readonly port: number };
  readonly internalAddress: string;
  readonly endpointOf: (port: number) => { readonly host: string; readonly port: number } | undefined;
}

export interface FoundVm {
  readonly name: string;
  readonly state: MachineState;
  readonly labels: Labels;
}

/**
 * A program that runs virtual machines, as far as {@link createVmDriver} needs it. It acts on machines of one folder only, which
 * it knows by what is written on them; one of somebody else is never touched, whatever its name.
 *
 * No-ops: `kill` of a machine that does not run, `remove` of one that is gone.
 */
export interface Hypervisor {
  check(signal: AbortSignal): Promise<DriverHealth>;
  /** Time from the start to a login, and from the power button to the end. */
  limits(signal: AbortSignal): Promise<{ readonly bootMs: number; readonly stopMs: number }>;
  /** @throws {MkCiError} `DRV_UNSUPPORTED` for an image that it can not run */
  accept?(image: VmImage): void;
  /** Whether each machine is alone in its network. */
  isIsolated(signal: AbortSignal): Promise<boolean>;
  /** The address a machine will have; what has to be made for it is made. `remove` gives it back. */
  reserveAddress(spec: MachineSpec, signal: AbortSignal): Promise<SeedNetwork>;
  /** What the options of a new machine say of another network. @throws {MkCiError} `CFG_INVALID`, `DRV_UNSUPPORTED` on this host */
  secondNetwork?(spec: Pick<MachineSpec, 'options'>): SecondNetwork | undefined;
  /** Makes the disk of a machine, where it is a file that can be made before the machine. */
  makeDisk(
    disk: string,
    options: { readonly image: VmImage; readonly spec: MachineSpec; readonly signal: AbortSignal },
  ): Promise<void>;
  /** Makes the machine, which does not run yet. */
  define(machine: VmFiles, signal: AbortSignal): Promise<void>;
  start(machine: VmFiles, signal: AbortSignal): Promise<void>;
  /** Asks the guest to end, and does not wait for it. */
  pressPowerButton(machine: VmFiles, signal: AbortSignal): Promise<void>;
  /** Ends the machine at once. */
  kill(name: string): Promise<void>;
  pause(name: string, signal: AbortSignal): Promise<void>;
  resume(name: string, signal: AbortSignal): Promise<void>;
  /** One of ours; `undefined` when the hypervisor does not have it. */
  find(name: string, signal?: AbortSignal): Promise<FoundVm | undefined>;
  /** All of ours. */
  list(signal: AbortSignal): Promise<readonly FoundVm[]>;
  /** @returns `undefined` while the guest has no address */
  reach(machine: VmFiles, signal: AbortSignal): Promise<VmReach | undefined>;
  /**
   * Sets the clock of a guest that goes on, without a login: a handshake costs a translated guest seconds.
   *
   * @returns false where the guest does not wait for it, or does not answer: then somebody has to log in
   */
  setClock?(machine: VmFiles, now: () => Date, signal: AbortSignal): Promise<boolean>;
  /** Removes a machine that does not run, and what was made for it outside of its folder. */
  remove(name: string): Promise<void>;
  /** Disk and memory of a machine. */
  readonly snapshots?: {
    save(name: string, snapshot: string, signal: AbortSignal): Promise<void>;
    /** The machine runs afterwards. @throws {MkCiError} `K8S_SNAPSHOT_NOT_FOUND` */
    restore(name: string, snapshot: string, signal: AbortSignal): Promise<void>;
    list(name: string, signal: AbortSignal): Promise<readonly string[]>;
    delete(name: string, snapshot: string, signal: AbortSignal): Promise<void>;
  };
  /** Disk and memory of a machine as files, see `machine-state.ts`. */
  readonly states?: {
    readonly exec: Exec;
    /** Writes the memory of a machine that runs into files, and calls `act` while the machine stands still with nothing unwritten. */
    save(machine: VmFiles, options: SaveMemoryOptions): Promise<void>;
    /** Like `start`, with the memory of another machine. */
    start(machine: VmFiles, memory: MemoryFiles, signal: AbortSignal): Promise<void>;
  };
}

/** The memory of a machine that stands still. */
export interface MemoryFiles {
  /** As a stream; where there is `ram`, only what else a machine knows. */
  readonly stream: string;
  /** All of the guest's memory, byte for byte: a machine begins with it without reading it. Not every machine can be saved so. */
  readonly ram?: string;
}

export interface SaveMemoryOptions {
  /** To be written; the second one only where that works, then whole. */
  readonly memory: Required<MemoryFiles>;
  readonly act: () => Promise<void>;
  readonly signal: AbortSignal;
}
