import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { Command } from 'commander';

import type { ClusterManager, ClusterStatus } from '../cluster/cluster.js';
import { checkClusterName, clusterFolder } from '../cluster/folder.js';
import { NO_VERSION, kubernetesAbsent } from '../cluster/index.js';
import {
  contextName,
  defaultKubeconfig,
  editKubeconfig,
  forgetMerged,
  mergeKubeconfig,
  readMerged,
  rememberMerged,
  unmergeKubeconfig,
} from '../cluster/kubeconfig-merge.js';
import { MkCiError, hostErrorOf, isMkCiError } from '../errors.js';
import { foldersOf } from '../files.js';
import { printData } from './cluster-calls.js';
import type { CliContext } from './command.js';

interface KubeconfigFlags {
  readonly path?: boolean;
  readonly json?: boolean;
  readonly merge?: boolean;
  readonly unmerge?: boolean;
  readonly use?: boolean;
  readonly file?: string;
}

/** `mk-ci cluster kubeconfig`; `open` is called when it runs. */
export function buildKubeconfigCommand(context: CliContext, open: () => Pick<ClusterManager, 'status'>): Command {
  return new Command('kubeconfig')
    .argument('<name>')
    .description('print the kubeconfig, or put the cluster into the one that you use')
    .option('--path', 'print where it lies')
    .option('--merge', 'add the context mk-ci-<name> to your kubeconfig; no other is changed')
    .option('--use', 'with --merge: make it the current context')
    .option('--unmerge', 'take the context mk-ci-<name> out of it again; succeeds when it is not there')
    .option('--file <file>', 'for --merge and --unmerge (default: the first of $KUBECONFIG, else ~/.kube/config)')
    .option('--json', 'print data')
    .addHelpText(
      'after',
      '\nExample:\n  export KUBECONFIG=$(mk-ci cluster kubeconfig demo --path)\n' +
        '  mk-ci cluster kubeconfig demo --merge && kubectl --context mk-ci-demo get nodes\n',
    )
    .action(async (name: string, flags: KubeconfigFlags) => {
      checkFlags(flags);
      if (flags.merge === true) await merge(name, flags, await open().status(name, context.signal), context);
      else if (flags.unmerge === true) await unmerge(name, flags, context);
      else await print(name, flags, await open().status(name, context.signal), context);
    });
}

/** @throws {MkCiError} `CLI_USAGE` */
function checkFlags({ path, merge, unmerge, use, file }: KubeconfigFlags): void {
  const refuse = (message: string): never => {
    throw new MkCiError('CLI_USAGE', { message });
  };
  if ([path, merge, unmerge].filter(Boolean).length > 1) refuse('--path, --merge and --unmerge exclude each other');
  if (use === true && merge !== true) refuse('--use needs --merge');
  if (file !== undefined && merge !== true && unmerge !== true) refuse('--file needs --merge or --unmerge');
}

async function print(
  name: string,
  flags: KubeconfigFlags,
  { kubeconfig: path, kubernetesVersion }: ClusterStatus,
  context: CliContext,
): Promise<void> {
  if (kubernetesVersion === NO_VERSION) throw kubernetesAbsent(name, 'kubeconfig');
  if (flags.json === true) await context.stdout(printData({ name, path, kubeconfig: await readText(path) }));
  else await context.stdout(flags.path === true ? `${path}\n` : await readText(path));
}

async function merge(name: string, flags: KubeconfigFlags, status: ClusterStatus, context: CliContext): Promise<void> {
  if (status.kubernetesVersion === NO_VERSION) throw kubernetesAbsent(name, 'kubeconfig');
  if (status.driver === 'existing')
    throw new MkCiError('CLI_USAGE', { message: `${name} is from a kubeconfig that you have already` });
  const path = pathOf(flags, context);
  const from = await readText(status.kubeconfig);
  // Remembered first: what is merged is then never forgotten when the cluster is deleted.
  await rememberMerged(folderOf(name, context), path);
  const use = flags.use === true;
  await editKubeconfig(path, (text) => mergeKubeconfig(text, { cluster: name, from, use }), context);
  const result = { name, path, context: contextName(name) };
  await context.stdout(flags.json === true ? printData(result) : `${result.context} is in ${path}\n`);
}

async function unmerge(name: string, flags: KubeconfigFlags, context: CliContext): Promise<void> {
  const path = pathOf(flags, context);
  await editKubeconfig(path, (text) => unmergeKubeconfig(text, name), context);
  await forgetMerged(folderOf(name, context), path);
  if (flags.json === true) await context.stdout(printData({ name, path, context: contextName(name) }));
}

/**
 * Writes the address and the certificates that a cluster has now into the kubeconfigs that still have it. One that can not be written
 * is told, and no reason for the start to fail.
 */
export async function refreshMerged(name: string, kubeconfig: string, context: CliContext): Promise<void> {
  const paths = await findMerged(name, context);
  if (paths.length === 0) return;
  const from = await readText(kubeconfig);
  const refresh = (text: string): string =>
    text.includes(contextName(name)) ? mergeKubeconfig(text, { cluster: name, from }) : text;
  await editAll(paths, refresh, context);
}

/** Kubeconfigs that have the cluster. To be asked before it is deleted. */
export async function findMerged(name: string, context: CliContext): Promise<readonly string[]> {
  return await readMerged(folderOf(name, context));
}

/** Takes a cluster that is no more out of kubeconfigs. */
export async function unmergeAll(name: string, paths: readonly string[], context: CliContext): Promise<void> {
  await editAll(paths, (text) => unmergeKubeconfig(text, name), context);
}

async function editAll(paths: readonly string[], edit: (text: string) => string, context: CliContext): Promise<void> {
  for (const path of paths) {
    try {
      await editKubeconfig(path, edit, context);
    } catch (error) {
      context.signal.throwIfAborted();
      if (!isMkCiError(error)) throw error;
      context.log.warn(`${path} was left as it is: ${error.message}`);
    }
  }
}

function folderOf(name: string, { env }: CliContext): string {
  checkClusterName(name);
  return clusterFolder(foldersOf(env).state, name).folder;
}

function pathOf({ file }: KubeconfigFlags, { cwd, env }: CliContext): string {
  return resolve(cwd, file ?? defaultKubeconfig(env));
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw hostErrorOf(error, path) ?? error;
  }
}
