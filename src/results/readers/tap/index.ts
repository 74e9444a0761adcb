export { createTapReader } from './reader.js';
