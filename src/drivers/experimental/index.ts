export { createExperimentalDriver, EXPERIMENTAL_DRIVERS, type ExperimentalOptions } from './experimental-drivers.js';
