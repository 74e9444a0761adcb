export { SSH_PORT, makeOverlay } from './machine-files.js';
export {
  listMachineFolders,
  machinePaths,
  readMachineRecord,
  removeMachineFolder,
  specDigest,
  type MachinePaths,
  type MachineRecord,
  type SecondNetwork,
} from './machine-folder.js';
export { findMachineProcess, hasEnded, listMachineProcesses, noteProcess, processLabels } from './machine-process.js';
export {
  VM_IMAGE_FILE,
  consoleOf,
  findVmImage,
  readVmImage,
  vmImageSchema,
  type BootSource,
  type VmImage,
  type VmImageFacts,
} from './vm-image.js';
export { checkSnapshotName } from './snapshot-name.js';
export { createVmDriver, type VmDriverOptions } from './vm-driver.js';
export { VM_START_MS, type FoundVm, type Hypervisor, type VmFiles, type VmReach } from './hypervisor.js';
export { createProcessMachines, type ProcessStates } from './process-machines.js';
export { formatOwner, parseOwner, type MachineOwner } from './owner.js';
