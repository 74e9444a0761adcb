export { findInputs, type FindInputsOptions, type FoundInput } from './find-inputs.js';
export { globPattern } from './glob.js';
export { readInput, type InputRead, type ReadInputOptions } from './read-input.js';
