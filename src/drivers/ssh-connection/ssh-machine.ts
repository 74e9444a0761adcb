import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { MkCiError, hostErrorOf } from '../../errors.js';
import { lastLines, exec as localExec, startProcess, type ExecOptions } from '../../exec.js';
import { makeFolder } from '../../files.js';
import type { Machine } from '../driver.js';
import type { SshConnection } from './connection.js';
import { receiveCommand } from './remote-command.js';
import { createRemoteExec, type RemoteExecOptions } from './remote-exec.js';
import { createRemoteSession } from './remote-session.js';

const COPY_MS = 600_000;

export interface SshMachineOptions {
  readonly name: string;
  readonly connection: SshConnection;
  readonly internalAddress: string;
  /** Where this host reaches a port of the machine; `undefined` for one that is not published. */
  readonly endpointOf: (port: number) => { readonly host: string; readonly port: number } | undefined;
  /** How commands run there. @default as the user who logs in */
  readonly remote?: RemoteExecOptions;
}

export type SshMachine = Machine & Required<Pick<Machine, 'session'>>;

/** A machine that is reached by ssh and has a shell, `tar` and the usual tools. */
export function createSshMachine({
  name,
  connection,
  internalAddress,
  endpointOf,
  remote,
}: SshMachineOptions): SshMachine {
  const { exec, stream } = createRemoteExec(connection, remote);
  return {
    name,
    internalAddress,
    exec,
    session: createRemoteSession(connection, remote),
    copyTo: async (localPath, remotePath, signal) => {
      const info = await stat(localPath).catch((error: unknown) => {
        throw hostErrorOf(error, localPath) ?? error;
      });
      const kind = { isFolder: info.isDirectory(), mode: info.mode & 0o777 };
      const options = { signal, timeoutMs: COPY_MS };
      const receive = receiveCommand(remotePath, kind);
      if (!kind.isFolder) {
        await stream(receive, { source: createReadStream(localPath) }, options);
        return;
      }
      const tar = await startProcess(['tar', '-C', localPath, '-cf', '-', '.'], options);
      const said = tar.stderr.toArray();
      try {
        await stream(receive, { source: tar.stdout }, options);
      } finally {
        await tar.end();
      }
      const { exitCode } = await tar.ended;
      if (exitCode !== 0) {
        const text = Buffer.concat((await said) as Buffer[]).toString('utf8');
        throw new MkCiError('HOST_COMMAND_FAILED', { message: `tar of ${localPath}: ${lastLines(text, 1)[0] ?? ''}` });
      }
    },
    copyFrom: async (remotePath, localPath, signal) => {
      await makeFolder(dirname(localPath));
      const options = { signal, timeoutMs: COPY_MS };
      const asked = await exec(['test', '-d', remotePath], { allowFailure: true, ...options });
      const isFolder = asked.exitCode === 0;
      // Complete or not at all: a lost connection leaves neither half a file nor half a folder.
      const temporary = `${localPath}.mk-ci`;
      try {
        const argv = isFolder ? (['tar', '-C', remotePath, '-cf', '-', '.'] as const) : (['cat', remotePath] as const);
        await stream(argv, { sink: createWriteStream(temporary) }, options);
        if (!isFolder) {
          await rename(temporary, localPath);
          return;
        }
        await makeFolder(localPath);
        await extractFrom(temporary, { to: localPath, name, options });
      } catch (error) {
        throw hostErrorOf(error, localPath) ?? error;
      } finally {
        await rm(temporary, { force: true });
      }
    },
    endpoint: async (port) => {
      const found = endpointOf(port);
      if (found === undefined)
        throw new MkCiError('DRV_FAILED', { message: `port ${port} of ${name} is not published` });
      return found;
    },
  };
}

/**
 * What another host packed, which may be anything: without owners and bits that give rights here, and not at all when it holds devices.
 * That nothing leaves the folder is up to `tar`.
 *
 * @throws {MkCiError} `DRV_FAILED`
 */
async function extractFrom(
  archive: string,
  { to, name, options }: { readonly to: string; readonly name: string; readonly options: ExecOptions },
): Promise<void> {
  const { stdout } = await localExec(['tar', '-tvf', archive], options);
  if (/^[bcp]/m.test(stdout)) {
    throw new MkCiError('DRV_FAILED', { message: `${name} sent devices in place of files` });
  }
  await localExec(['tar', '-C', to, '--no-same-owner', '--no-same-permissions', '-xf', archive], options);
}
