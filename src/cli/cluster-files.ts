import { stat } from 'node:fs/promises';
import { basename, join, posix, resolve } from 'node:path';

import { Command } from 'commander';

import type { ClusterMachineManager } from '../cluster/index.js';
import type { Machine } from '../drivers/index.js';
import { MkCiError } from '../errors.js';
import type { Argv } from '../exec.js';
import { createTemporaryFolder } from '../files.js';
import type { CliContext } from './command.js';

/** `mk-ci cluster ssh …`; `open` is called when it runs. */
export function buildSshCommand(context: CliContext, open: () => ClusterMachineManager): Command {
  return new Command('ssh')
    .argument('<cluster>')
    .argument('[command...]')
    .description('a shell in a node, as root; or a command there, with our streams and its exit code')
    .option('--node <name>', 'which node; the control plane otherwise')
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci cluster ssh demo\n  mk-ci cluster ssh demo --node worker-1 -- journalctl -u kubelet -n 20\n',
    )
    .action(async (cluster: string, words: readonly string[], flags: { readonly node?: string }) => {
      const machine = await open().machineOf(cluster, flags.node, context.signal);
      if (machine.session === undefined) {
        throw new MkCiError('DRV_UNSUPPORTED', { message: `a shell in a node of ${cluster}` });
      }
      const code = await machine.session(sessionArgv(words), {
        terminalType: terminalTypeOf(context),
        signal: context.signal,
      });
      context.exit(code);
    });
}

/** One word is a line for a shell, as ssh has it; more are a command as it is. */
function sessionArgv([first, ...rest]: readonly string[]): Argv {
  if (first === undefined) return ['sh', '-c', 'cd; exec "$(command -v bash || command -v sh)" -l'];
  return rest.length === 0 ? ['sh', '-c', first] : [first, ...rest];
}

/** Both ends have to be one: output that goes into a file must come as it is. */
function terminalTypeOf({ env }: Pick<CliContext, 'env'>): string | undefined {
  return process.stdin.isTTY && process.stdout.isTTY ? (env['TERM'] ?? 'xterm') : undefined;
}

/** A path of this host, or of a node. */
export type Location =
  | { readonly path: string; readonly node?: undefined }
  /** `node` is empty for the control plane. */
  | { readonly path: string; readonly node: string };

/**
 * Reads `NODE:/path`, `:/path` for the control plane, or a path of this host: one with a slash before its first colon, or
 * without a colon.
 *
 * @throws {MkCiError} `CLI_USAGE` for a path of a node that does not begin with a slash
 */
export function parseLocation(text: string): Location {
  const [, node, path] = /^([a-z0-9-]*):(.*)$/s.exec(text) ?? [];
  if (node === undefined || path === undefined) return { path: text };
  if (path.startsWith('/')) return { node, path };
  throw new MkCiError('CLI_USAGE', {
    message: `${text}: the path of a node begins with /`,
    advice: `Write ${node}:/${path}; a file of this host with a colon in its name is ./${text}.`,
  });
}

/** `mk-ci cluster cp …`; `open` is called when it runs. */
export function buildCopyCommand(context: CliContext, open: () => ClusterMachineManager): Command {
  return new Command('cp')
    .argument('<cluster>')
    .argument('<source>', 'path, or NODE:/path; :/path is the control plane')
    .argument('<target>', 'the same; into it, when it is a folder')
    .description('copy a file or folder to a node, from a node, or between nodes')
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci cluster cp demo ./audit.yaml control-plane:/etc/kubernetes/audit.yaml\n  mk-ci cluster cp demo worker-1:/var/log/pods ./pods\n',
    )
    .action(async (cluster: string, from: string, to: string) => {
      const [source, target] = [parseLocation(from), parseLocation(to)];
      if (source.node === undefined && target.node === undefined) {
        throw new MkCiError('CLI_USAGE', {
          message: `${from} and ${to} are both paths of this host`,
          advice: `Write one of them as NODE:/path, such as control-plane:/tmp/${basename(from)}.`,
        });
      }
      const manager = open();
      const sideOf = async ({ node, path }: Location): Promise<Side> =>
        node === undefined
          ? localSide(resolve(context.cwd, path) + (path.endsWith('/') ? '/' : ''))
          : remoteSide(await manager.machineOf(cluster, node === '' ? undefined : node, context.signal), path);
      await copyBetween(await sideOf(source), await sideOf(target), context.signal);
    });
}

/** One end of a copy. */
export interface Side {
  readonly path: string;
  /** For messages. */
  readonly where: string;
  readonly machine?: Machine;
  readonly kind: (path: string, signal: AbortSignal) => Promise<'file' | 'folder' | 'absent'>;
}

export function localSide(path: string): Side {
  return {
    path,
    where: 'this host',
    kind: async (at) =>
      await stat(at).then(
        (info) => (info.isDirectory() ? 'folder' : 'file'),
        () => 'absent',
      ),
  };
}

export function remoteSide(machine: Machine, path: string): Side {
  const script = 'if [ -d "$1" ]; then echo folder; elif [ -e "$1" ]; then echo file; else echo absent; fi';
  return {
    path,
    where: machine.name,
    machine,
    kind: async (at, signal) => {
      const { stdout } = await machine.exec(['sh', '-c', script, 'sh', at], { signal, timeoutMs: 60_000 });
      const word = stdout.trim();
      return word === 'folder' || word === 'file' ? word : 'absent';
    },
  };
}

/**
 * Copies a file or folder. Into the target when that is a folder or ends in a slash. A file replaces a file; a folder
 * replaces nothing, because what it does not have would be gone.
 *
 * @throws {MkCiError} `CLI_NO_INPUT`, `CLI_USAGE`
 */
export async function copyBetween(source: Side, target: Side, signal: AbortSignal): Promise<void> {
  const kind = await source.kind(source.path, signal);
  if (kind === 'absent') {
    throw new MkCiError('CLI_NO_INPUT', {
      message: `${source.where} has no ${source.path}`,
      advice: 'Name a file or folder that is there.',
    });
  }
  const isInto = target.path.endsWith('/') || (await target.kind(target.path, signal)) === 'folder';
  const to = isInto ? posix.join(target.path, basename(source.path)) : target.path;
  const there = await target.kind(to, signal);
  if (there !== 'absent' && (kind === 'folder' || there === 'folder')) {
    throw new MkCiError('CLI_USAGE', {
      message: `${target.where} has a ${there} ${to}, which a ${kind} can not replace`,
      advice: 'Remove it first, or name another target.',
    });
  }
  if (source.machine === undefined) await target.machine?.copyTo(source.path, to, signal);
  else if (target.machine === undefined) await source.machine.copyFrom(source.path, to, signal);
  else {
    await using temporary = await createTemporaryFolder('mk-ci-cp-');
    const between = join(temporary.path, 'copy');
    await source.machine.copyFrom(source.path, between, signal);
    await target.machine.copyTo(between, to, signal);
  }
}
