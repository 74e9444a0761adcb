export { createGoTextReader } from './reader.js';
