export { createAcceleratorChoice, type AcceleratorChoice } from './accelerator-choice.js';
export { COSTLY_FEATURES, chooseAccelerator, type Accelerator } from './accelerators.js';
export { GUEST_ADDRESS, GUEST_GATEWAY, GUEST_NAMESERVER, programFor } from './arguments.js';
export { createQemuDriver, type QemuDriverOptions } from './qemu-driver.js';
export { parseForwards } from './qmp-messages.js';
export { QEMU_LIMITS } from './hypervisor.js';
