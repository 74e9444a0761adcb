/**
 * Needs: root and OpenSSH's server (`/usr/sbin/sshd`), which each test starts for itself on the loopback. What commands,
 * copies and refusals do with a real server; skipped, with a word, where it is not installed.
 */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { access } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  createRemoteExec,
  createSshConnection,
  createSshMachine,
  generateKeyPair,
  type SshConnection,
} from '../src/drivers/ssh-connection/index.js';
import { isMkCiError } from '../src/errors.js';
import { startProcess, type RunningProcess } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { waitFor } from '../src/wait.js';
import { findFreePort } from './free-port.js';

const SSHD = '/usr/sbin/sshd';
const isThere = await access(SSHD).then(
  () => true,
  () => false,
);
const hostKeys = await generateKeyPair('host');
const userKeys = await generateKeyPair('user');
const reason = !isThere ? 'sshd is not installed' : process.getuid?.() === 0 ? undefined : 'it needs root';
if (reason !== undefined) console.warn(`ssh-connection: skipped, ${reason}`);

describe.skipIf(reason !== undefined)('a real sshd', { timeout: 60_000 }, () => {
  let folder: TemporaryFolder;
  let sshd: RunningProcess;
  let connection: SshConnection;

  let port = 0;

  const start = async (): Promise<void> => {
    sshd = await startProcess([SSHD, '-D', '-e', '-f', join(folder.path, 'sshd_config')]);
    sshd.stdout.resume();
    let said = '';
    sshd.stderr.on('data', (piece) => (said += String(piece)));
    await waitFor(
      async () => {
        const result = await createRemoteExec(connection)
          .exec(['true'], { timeoutMs: 5000 })
          .catch((error: unknown) => error);
        return isMkCiError(result)
          ? { done: false, seen: `${String(result)}; sshd: ${said}` }
          : { done: true, value: undefined };
      },
      { what: 'sshd', deadlineMs: 30_000 },
    );
  };

  beforeEach(async () => {
    folder = await createTemporaryFolder();
    await chmod(folder.path, 0o755);
    await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
    port = await findFreePort();
    await writeFile(join(folder.path, 'host_key'), hostKeys.privateKey, { mode: 0o600 });
    await writeFile(join(folder.path, 'authorized_keys'), `${userKeys.publicKey}\n`, { mode: 0o644 });
    const config = {
      ListenAddress: `127.0.0.1:${port}`,
      HostKey: join(folder.path, 'host_key'),
      AuthorizedKeysFile: join(folder.path, 'authorized_keys'),
      PidFile: 'none',
      UsePAM: 'no',
      StrictModes: 'no',
      PermitRootLogin: 'prohibit-password',
    };
    const text = Object.entries(config).map(([key, value]) => `${key} ${value}\n`);
    await writeFile(join(folder.path, 'sshd_config'), text.join(''));
    const target = {
      host: '127.0.0.1',
      port,
      user: 'root',
      privateKey: userKeys.privateKey,
      hostKey: hostKeys.publicKey,
    };
    connection = createSshConnection({ target });
    await start();
  });
  afterEach(async () => {
    connection.close();
    await sshd.end();
    await folder[Symbol.asyncDispose]();
  });

  it('runs more commands at once than it allows channels, with all of their output', async () => {
    const { exec } = createRemoteExec(connection);
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        exec(['sh', '-c', `head -c 200000 /dev/zero | tr '\\0' x; echo ${index}`]),
      ),
    );
    results.forEach(({ stdout }, index) => {
      expect(stdout.length).toBe(200_000 + String(index).length + 1);
    });
    const failed = await exec(['sh', '-c', 'echo no >&2; exit 7'], { allowFailure: true });
    expect(failed).toMatchObject({ exitCode: 7, stderr: 'no\n' });
    expect(await exec(['sh', '-c', 'kill -9 $$'], { allowFailure: true })).toMatchObject({ signal: 'SIGKILL' });
  });

  it('does not wait for a daemon that a command leaves behind', async () => {
    const { exec } = createRemoteExec(connection);
    const result = await exec(['sh', '-c', 'sleep 60 & echo $!; exit 0'], { drainMs: 100, timeoutMs: 30_000 });
    expect(result.exitCode).toBe(0);
    process.kill(Number(result.stdout), 'SIGKILL');
  });

  it('has nothing left of a command that was aborted', async () => {
    const { exec } = createRemoteExec(connection);
    const mark = join(folder.path, 'pids');
    const stop = new AbortController();
    const running = exec(['sh', '-c', `setsid sleep 300 & echo $! >${mark}; echo up; sleep 300`], {
      signal: stop.signal,
      graceMs: 300,
      onOutput: () => {
        stop.abort(new Error('enough'));
      },
    });
    await expect(running).rejects.toThrow('enough');
    const pid = (await readFile(mark, 'utf8')).trim();
    await waitFor(
      async () => {
        const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
        return state === '' || / Z /.test(state) ? { done: true, value: undefined } : { done: false, seen: state };
      },
      { what: 'the end of what was started', deadlineMs: 20_000 },
    );
  });

  it('copies folders both ways', async () => {
    const machine = createSshMachine({ name: 'm', connection, internalAddress: '', endpointOf: () => undefined });
    const from = join(folder.path, 'from');
    await mkdir(join(from, 'a'), { recursive: true });
    await writeFile(join(from, 'a', 'big'), Buffer.alloc(20_000_000, 'x'));
    await machine.copyTo(from, join(folder.path, 'there'));
    await machine.copyFrom(join(folder.path, 'there'), join(folder.path, 'back'));
    expect((await readFile(join(folder.path, 'back', 'a', 'big'))).length).toBe(20_000_000);
  });

  it('is connected to again after it was restarted, and refused with another key', async () => {
    const { exec } = createRemoteExec(connection);
    await sshd.end();
    connection.close(); // what serves a connection outlives the server
    expect(isMkCiError(await exec(['true']).catch((error: unknown) => error), 'NET_UNREACHABLE')).toBe(true);
    await start();
    expect((await exec(['echo', 'again'])).stdout).toBe('again\n');
    const { target } = connection;
    const changed = createSshConnection({ target: { ...target, hostKey: (await generateKeyPair('x')).publicKey } });
    const error = await createRemoteExec(changed)
      .exec(['true'])
      .catch((thrown: unknown) => thrown);
    expect(isMkCiError(error, 'NET_SSH_HOST_KEY')).toBe(true);
  });
});
