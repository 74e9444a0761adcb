export { CONFIG_FILE, loadConfig, parseConfig, type Config, type LoadOptions } from './load.js';
export {
  expandEnvironments,
  globToRegExp,
  matchesEnvironment,
  selectEnvironments,
  type Environment,
  type EnvironmentFilter,
} from './matrix.js';
export { CONTAINER_RUNTIMES, DRIVER_NAMES, configSchema, type ConfigFile, type SuiteConfig } from './schema.js';
export { renderStarterConfig, type ProjectFacts } from './starter.js';
export { suggest } from './suggest.js';
export { CI_SYSTEMS, renderPipeline, type CiSystem } from './pipelines/index.js';
