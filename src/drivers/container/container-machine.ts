import { randomBytes } from 'node:crypto';
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { MkCiError, hostErrorOf } from '../../errors.js';
import type { Argv, Exec, ExecOptions } from '../../exec.js';
import { runInForeground } from '../../foreground.js';
import type { Machine } from '../driver.js';
import type { Engine } from './engine.js';
import type { ContainerFacts } from './inspect.js';

/** Marks everything that one call started in a container, so that it can be ended there. */
const CALL_VARIABLE = 'MK_CI_CALL';

const COPY_MS = 600_000;

export interface ContainerMachineOptions {
  readonly engine: Engine;
  readonly exec: Exec;
  readonly container: ContainerFacts;
  readonly network: string;
}

export function createContainerMachine({ engine, exec, container, network }: ContainerMachineOptions): Machine {
  const { name } = container;
  const program = engine.traits.name;

  const inside = async (argv: Argv, options: ExecOptions = {}) => {
    const { cwd, env, labels: _labels, ...rest } = options;
    const call = randomBytes(8).toString('hex');
    const variables: Readonly<Record<string, string | undefined>> = { ...env, [CALL_VARIABLE]: call };
    const command: Argv = [
      program,
      'exec',
      ...(options.input === undefined && options.inputFile === undefined ? [] : ['--interactive']),
      ...(cwd === undefined ? [] : ['--workdir', cwd]),
      ...Object.entries(variables).flatMap(([key, value]) => (value === undefined ? [] : ['--env', `${key}=${value}`])),
      name,
      ...argv,
    ];
    try {
      const result = await exec(command, rest);
      if (result.timedOut) await endCall(call);
      return result;
    } catch (error) {
      // The client has ended; what it started in the container has not.
      if (options.signal?.aborted === true || isTimeout(error)) await endCall(call);
      throw error;
    }
  };
  const endCall = async (call: string): Promise<void> => {
    const script = `for p in $(grep -lzs "^${CALL_VARIABLE}=${call}$" /proc/[0-9]*/environ); do p=\${p%/environ}; kill -9 "\${p#/proc/}" 2>/dev/null; done; true`;
    await exec([program, 'exec', name, 'sh', '-c', script], { allowFailure: true, timeoutMs: 10_000 });
  };
  /** Runs a command inside with a file or pipe of this host at one end; nothing is held in memory. */
  const stream = async (script: string, path: string, argv: readonly string[], signal?: AbortSignal): Promise<void> => {
    const command: Argv = [
      'bash',
      '-o',
      'pipefail',
      '-c',
      script,
      path,
      program,
      'exec',
      '--interactive',
      name,
      ...argv,
    ];
    await exec(command, { signal, timeoutMs: COPY_MS });
  };

  const session: Machine['session'] = async (argv, { terminalType, signal } = {}) => {
    const call = randomBytes(8).toString('hex');
    const terminal = terminalType === undefined ? [] : ['--tty', '--env', `TERM=${terminalType}`];
    const variable = ['--env', `${CALL_VARIABLE}=${call}`];
    try {
      return await runInForeground([program, 'exec', '--interactive', ...terminal, ...variable, name, ...argv], {
        signal,
      });
    } finally {
      if (signal?.aborted === true) await endCall(call);
    }
  };

  return {
    name,
    session,
    internalAddress: container.addresses[network] ?? Object.values(container.addresses)[0] ?? '',
    exec: inside,
    copyTo: async (localPath, remotePath, signal) => {
      // Not `cp` of the engine: it does not see what lies on a tmpfs of the container.
      const isFolder = await isFolderAt(localPath);
      const into = isFolder
        ? 'mkdir -p "$(dirname "$1")" && rm -rf "$1.mk-ci" && mkdir "$1.mk-ci" && tar -xf - -C "$1.mk-ci" && rm -rf "$1" && mv -T "$1.mk-ci" "$1"'
        : 'mkdir -p "$(dirname "$1")" && cat >"$1.mk-ci" && chmod "$2" "$1.mk-ci" && mv -fT "$1.mk-ci" "$1"';
      const mode = ((await stat(localPath)).mode & 0o777).toString(8);
      const from = isFolder ? 'tar -C "$0" -cf - . | "$@"' : 'exec "$@" <"$0"';
      await stream(from, localPath, ['sh', '-c', into, 'sh', remotePath, mode], signal);
    },
    copyFrom: async (remotePath, localPath, signal) => {
      await mkdir(dirname(localPath), { recursive: true }).catch((error: unknown) => {
        throw hostErrorOf(error, localPath) ?? error;
      });
      const kind = await inside(['test', '-d', remotePath], { allowFailure: true, ...(signal && { signal }) });
      if (kind.exitCode === 0) {
        await mkdir(localPath, { recursive: true });
        await stream('"$@" | tar -xf - -C "$0"', localPath, ['tar', '-C', remotePath, '-cf', '-', '.'], signal);
      } else {
        await stream('"$@" >"$0.mk-ci" && mv -f "$0.mk-ci" "$0"', localPath, ['cat', remotePath], signal);
      }
    },
    endpoint: async (port) => {
      const published = container.ports[`${port}/tcp`];
      if (published === undefined) {
        throw new MkCiError('DRV_FAILED', { message: `port ${port} of ${name} is not published` });
      }
      return { host: '127.0.0.1', port: published.port };
    },
  };
}

function isTimeout(error: unknown): boolean {
  return error instanceof MkCiError && error.code === 'HOST_COMMAND_TIMEOUT';
}

async function isFolderAt(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw hostErrorOf(error, path) ?? error;
  }
}
