export type {
  Architecture,
  Driver,
  DriverHealth,
  DriverInfo,
  DriverOptions,
  DriverProblem,
  Machine,
  MachineImages,
  MachineOperations,
  MachineSnapshots,
  MachineSpec,
  MachineState,
  MachineSummary,
  SessionOptions,
} from './driver.js';
export { INOTIFY_INSTANCES, freeInotifyInstances, hasRoomBeside, isShortOfInotify } from './inotify.js';
export { AUTO_DRIVER, chooseDriver } from './choose-driver.js';
export {
  DEFAULT_DRIVER,
  DRIVER_FACTORIES,
  createDriverRegistry,
  type DriverDependencies,
  type DriverName,
  type DriverRegistry,
} from './registry.js';
export { throwProblems } from './health.js';
