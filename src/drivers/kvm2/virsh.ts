import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { MkCiError, isMkCiError } from '../../errors.js';
import { lastLines, type Exec } from '../../exec.js';
import { createTemporaryFolder } from '../../files.js';
import type { MachineState } from '../driver.js';

const COMMAND_MS = 60_000;

export interface VirshOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
  /** Document that the command reads. */
  readonly input?: string;
}

/** `virsh` at one connection. What it says is taken as lists of names, XML or JSON; its tables are for people. */
export interface Virsh {
  readonly uri: string;
  /** @throws {MkCiError} of {@link virshError} */
  run(args: readonly string[], options?: VirshOptions): Promise<string>;
  /** @returns `undefined` when the thing that was asked for is not there */
  ask(args: readonly string[], options?: VirshOptions): Promise<string | undefined>;
}

/** Stands for a file with {@link VirshOptions.input}: its standard input is a socket, which virsh does not open again. */
export const INPUT = '<input>';

export function createVirsh(exec: Exec, uri: string): Virsh {
  const run: Virsh['run'] = async (args, { signal, timeoutMs = COMMAND_MS, input } = {}) => {
    await using folder = input === undefined ? undefined : await createTemporaryFolder('mk-ci-virsh-');
    const file = folder && join(folder.path, 'document.xml');
    if (file !== undefined && input !== undefined) await writeFile(file, input, { mode: 0o600 });
    const given = args.map((arg) => (arg === INPUT && file !== undefined ? file : arg));
    try {
      const argv = ['virsh', '--quiet', '--connect', uri, ...given] as const;
      // Words of its messages and states are read: they must not be translated.
      const result = await exec(argv, { env: { ...process.env, LC_ALL: 'C' }, timeoutMs, signal });
      return result.stdout;
    } catch (error) {
      throw virshError(args, error);
    }
  };
  return {
    uri,
    run,
    ask: async (args, options) => {
      try {
        return await run(args, options);
      } catch (error) {
        if (isMkCiError(error) && error.details['isMissing'] === true) return undefined;
        throw error;
      }
    },
  };
}

/** What a failed command says, by its messages in `virsh` and `libvirt`. Pure. */
export function virshError(args: readonly string[], error: unknown): unknown {
  if (!isMkCiError(error, 'HOST_COMMAND_FAILED')) return error;
  const output = typeof error.details['output'] === 'string' ? error.details['output'] : error.message;
  const lines = lastLines(output, 20).map((line) => line.replace(/^error: /, ''));
  const text = lines.slice(-2).join(': ');
  const isSnapshot = /no domain snapshot with matching name|Domain snapshot not found/i.test(output);
  const isMissing =
    /failed to get (?:domain|network)|(?:Domain|Network) not found|no (?:domain|network) with matching/i;
  const code = isSnapshot
    ? 'K8S_SNAPSHOT_NOT_FOUND'
    : /no space left/i.test(output)
      ? 'HOST_DISK_FULL'
      : /cannot (?:set up guest memory|allocate memory)/i.test(output)
        ? 'HOST_RESOURCES'
        : 'DRV_FAILED';
  return new MkCiError(code, {
    message: `virsh ${args[0] ?? ''}: ${text}`,
    cause: error,
    details: { output, isMissing: !isSnapshot && isMissing.test(output) },
  });
}

/** State from `domstate --reason`, such as `paused (I/O error)`. Pure. @see `virsh-domain-monitor.c` of libvirt for the words */
export function parseState(text: string): MachineState {
  const [, state = '', reason = ''] = /^\s*([a-z ]+?)(?: \((.*)\))?\s*$/.exec(text) ?? [];
  switch (state) {
    case 'shut off':
      return 'stopped';
    case 'paused':
      return ['I/O error', 'watchdog', 'crashed'].includes(reason) ? 'broken' : 'paused';
    case 'pmsuspended':
      return 'paused';
    case 'crashed':
      return 'broken';
    default:
      return 'running';
  }
}

/** Names or UUIDs, one a line. */
export function parseNames(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

/** The IPv4 address of a network device from `domifaddr`, by what stands in its lines and not by their columns. Pure. */
export function parseInterfaceAddress(text: string, mac: string): string | undefined {
  for (const line of text.split('\n')) {
    if (!line.toLowerCase().includes(mac.toLowerCase())) continue;
    const address = /\bipv4\s+(\d{1,3}(?:\.\d{1,3}){3})\b/.exec(line)?.[1];
    if (address !== undefined) return address;
  }
  return undefined;
}
