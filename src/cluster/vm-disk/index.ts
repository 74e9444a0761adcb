export { createVmDiskStore, type EnsureVmDiskOptions, type VmDiskStore, type VmDiskStoreOptions } from './store.js';
