import type { ProcessIdentity } from '../../process.js';
import type { MachineState } from '../driver.js';
import type { FoundVm, Hypervisor } from './hypervisor.js';
import { machinePaths, readMachineRecord, type MachinePaths } from './machine-folder.js';
import { findMachineProcess, listMachineProcesses } from './machine-process.js';

/** What {@link Hypervisor} asks about machines each of which is one process of this host for as long as it runs. */
export interface ProcessMachines extends Pick<Hypervisor, 'find' | 'list'> {
  identityOf(name: string): Promise<ProcessIdentity | undefined>;
  /** Does nothing for a machine that does not run. */
  withProcess(name: string, act: (paths: MachinePaths, identity: ProcessIdentity) => Promise<void>): Promise<void>;
}

/** How a program tells the state of a machine. */
export interface ProcessStates {
  /** Of a process that is there. */
  stateOf(paths: MachinePaths, identity: ProcessIdentity, signal?: AbortSignal): Promise<MachineState>;
}

export function createProcessMachines(folder: string, states: ProcessStates): ProcessMachines {
  const identityOf: ProcessMachines['identityOf'] = async (name) =>
    await findMachineProcess(folder, name, machinePaths(folder, name));
  const find = async (name: string, signal?: AbortSignal): Promise<FoundVm | undefined> => {
    const paths = machinePaths(folder, name);
    const identity = await identityOf(name);
    const record = await readMachineRecord(paths);
    if (identity === undefined) {
      return record === undefined ? undefined : { name, state: 'stopped', labels: record.labels };
    }
    // Of a process whose folder is gone, or has lost its record, only its own labels are known.
    const labels = record?.labels ?? listMachineProcesses(folder).find((one) => one.name === name)?.labels ?? {};
    return { name, state: await states.stateOf(paths, identity, signal), labels };
  };
  return {
    identityOf,
    find,
    list: async (signal) => {
      const found = await Promise.all(listMachineProcesses(folder).map(async ({ name }) => await find(name, signal)));
      return found.filter((machine) => machine !== undefined);
    },
    withProcess: async (name, act) => {
      const identity = await identityOf(name);
      if (identity !== undefined) await act(machinePaths(folder, name), identity);
    },
  };
}
