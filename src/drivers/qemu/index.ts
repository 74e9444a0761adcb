export { programFor } from './arguments.js';
export { createQemuDriver, type QemuDriverOptions } from './qemu-driver.js';
