import { resolve } from 'node:path';

import type { Command } from 'commander';

import type { DriverOptions } from '../drivers/index.js';

/** Flags that name a host for the driver ssh, the same wherever there are any. */
export interface SshFlags {
  readonly sshHost?: string;
  readonly sshKey?: string;
  readonly sshHostKey?: string;
  readonly sshJump?: string;
  readonly sshJumpHostKey?: string;
}

export function addSshFlags(command: Command): Command {
  return command
    .option('--ssh-host <address>', 'for --driver ssh: [user@]host[:port]')
    .option('--ssh-key <file>', 'private key; the first of ~/.ssh otherwise, else what an agent has')
    .option('--ssh-host-key <key>', 'the key of the host, or accept-new; one that is known otherwise')
    .option('--ssh-jump <address>', 'host through which the connection goes: [user@]host[:port]')
    .option('--ssh-jump-host-key <key>', 'the key of that host, or accept-new');
}

/** What was given, as options of the driver. @param cwd where a path of a key begins */
export function sshOptionsOf(flags: SshFlags, cwd: string): DriverOptions {
  const given = {
    host: flags.sshHost,
    key: flags.sshKey?.startsWith('~/') === true ? flags.sshKey : flags.sshKey && resolve(cwd, flags.sshKey),
    hostKey: flags.sshHostKey,
    jump: flags.sshJump,
    jumpHostKey: flags.sshJumpHostKey,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
