import type { TestServer } from '../../ssh-connection/testing/server.js';
import { startFakeGuest } from '../../vm/testing/fake-guest.js';

/** A machine of a fake program. */
export interface FakeMachine {
  readonly name: string;
  /** In the words of its program. */
  state: string;
  notes: string;
  seed: string;
  /** Of its guest. */
  readonly address: string;
  readonly snapshots: Map<string, string>;
  guest?: TestServer;
}

/** Machines that a fake program keeps, each with an address of the loopback. */
export interface FakeMachines extends AsyncDisposable {
  readonly all: Map<string, FakeMachine>;
  add(name: string, state: string): FakeMachine;
  boot(machine: FakeMachine, state: string, listen?: { readonly host: string; readonly port: number }): Promise<void>;
  halt(machine: FakeMachine, state: string): Promise<void>;
}

let machineNumber = 0;

export function createFakeMachines(sshPort: number): FakeMachines {
  const all = new Map<string, FakeMachine>();
  const halt: FakeMachines['halt'] = async (machine, state) => {
    machine.state = state;
    const { guest } = machine;
    delete machine.guest;
    await guest?.[Symbol.asyncDispose]();
  };
  return {
    all,
    halt,
    add: (name, state) => {
      machineNumber += 1;
      const address = `127.5.${machineNumber >> 8}.${machineNumber & 255}`;
      const machine: FakeMachine = { name, state, notes: '', seed: '', address, snapshots: new Map() };
      all.set(name, machine);
      return machine;
    },
    boot: async (machine, state, listen = { host: machine.address, port: sshPort }) => {
      machine.guest ??= await startFakeGuest(machine.seed, listen);
      machine.state = state;
    },
    [Symbol.asyncDispose]: async () => {
      for (const machine of all.values()) await halt(machine, '');
    },
  };
}

/** The value after a flag. */
export function after(args: readonly string[], flag: string): string {
  const at = args.indexOf(flag);
  return at < 0 ? '' : (args[at + 1] ?? '');
}
