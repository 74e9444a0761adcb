export { createGoJsonReader } from './reader.js';
