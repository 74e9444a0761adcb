export { programFor, consoleOf } from './arguments.js';
export { createQemuDriver, type QemuDriverOptions } from './qemu-driver.js';
export { VM_IMAGE_FILE, readVmImage, vmImageSchema, type VmImage, type VmImageFacts } from './vm-image.js';
