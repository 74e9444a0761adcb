export { createSshDriver, type SshDriverOptions } from './ssh-driver.js';
