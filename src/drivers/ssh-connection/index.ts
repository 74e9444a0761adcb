export { createSshConnection, type SshConnection, type SshConnectionOptions, type SshTarget } from './connection.js';
export { generateKeyPair, type KeyPair } from './keys.js';
export { createRemoteExec, type RemoteExec } from './remote-exec.js';
export { createSshMachine, type SshMachineOptions } from './ssh-machine.js';
