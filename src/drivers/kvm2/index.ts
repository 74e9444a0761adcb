export { createKvm2Driver, type Kvm2DriverOptions } from './kvm2-driver.js';
