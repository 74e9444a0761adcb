/**
 * mk-ci as a library: what its command line is made of. The same names, types and errors; nothing here reads the command
 * line, sets an exit code or writes to the terminal.
 */

export { MkCiError, isMkCiError, type ErrorCode } from './errors.js';
export { exec, startProcess, type Exec } from './exec.js';
export { createLogger, type Logger } from './log.js';
export { VERSION } from './version.js';

export { loadConfig, parseConfig, selectEnvironments, type Config, type Environment } from './config/index.js';
export * from './results/index.js';
export { findInputs, readInput } from './results/input/index.js';
export { renderCtrf, renderGopoghSummary, renderJunit, renderMarkdown } from './results/writers/index.js';

export { createBundleStore, type Bundle, type BundleStore } from './cluster/bundle/index.js';
export type { ClusterManager, ClusterSpec, ClusterStatus, RunningCluster } from './cluster/cluster.js';
export { createClusterManager, type ClusterManagerOptions } from './cluster/index.js';
export { createDriverRegistry } from './drivers/index.js';
export type { Driver, DriverHealth, DriverInfo, Machine, MachineSpec } from './drivers/driver.js';

export { executeRun, loadRun, planRun, type RunOptions, type RunOutcome, type RunPlan } from './runner/index.js';
export { openReport, type Report } from './report/index.js';
export { openFlakeStore, readRates, type FlakeRate, type FlakeStore } from './flake/index.js';
