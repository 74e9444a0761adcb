export { createCtrfReader } from './reader.js';
