export { createNoneDriver, type NoneDriverOptions } from './none-driver.js';
