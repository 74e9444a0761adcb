export { createHostKitStore, type HostKitStore } from './store.js';
