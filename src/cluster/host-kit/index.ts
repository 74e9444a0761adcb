export { NODE_USE } from './footprint.js';
export { createHostKitStore, type HostKitStore } from './store.js';
