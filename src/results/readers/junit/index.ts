export { createJunitReader } from './reader.js';
