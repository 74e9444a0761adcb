export {
  createSshConnection,
  type Line,
  type SshConnection,
  type SshConnectionOptions,
  type SshLogin,
  type SshTarget,
} from './connection.js';
export { askHostKey, findKnownKeys, fingerprintOf, renderKnownHost } from './host-keys.js';
export { describePrivateKey, generateKeyPair, type KeyPair } from './keys.js';
export { createRemoteExec, type RemoteExec, type RemoteExecOptions } from './remote-exec.js';
export { createSshMachine, type SshMachine, type SshMachineOptions } from './ssh-machine.js';
