import { lstat, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { isMap, isSeq, parseDocument, type Document, type YAMLMap, type YAMLSeq } from 'yaml';

import { MkCiError, hostErrorOf, systemErrorCode } from '../errors.js';
import { makeFolder, writeFileAtomically } from '../files.js';

/**
 * The kubeconfig that people use, with clusters of mk-ci in it. Only entries named `mk-ci-CLUSTER` are written and removed: all
 * others, unknown fields and comments stay as they are.
 *
 * @see {@link https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/}
 */

const LISTS = ['clusters', 'users', 'contexts'] as const;

/** Of the entries of a cluster in a kubeconfig that holds others too. */
export function contextName(cluster: string): string {
  return `mk-ci-${cluster}`;
}

/**
 * The first file of `$KUBECONFIG`, else `~/.kube/config`: what kubectl would write to.
 *
 * @see {@link https://kubernetes.io/docs/tasks/access-application-cluster/configure-access-multiple-clusters/}
 */
export function defaultKubeconfig(env: Readonly<Record<string, string | undefined>>): string {
  const first = env['KUBECONFIG']?.split(':').find(Boolean);
  return first ?? `${env['HOME'] ?? '/'}/.kube/config`;
}

export interface MergeOptions {
  readonly cluster: string;
  /** Kubeconfig of the cluster alone. */
  readonly from: string;
  /** Makes it the current context. One that is unset becomes this one anyway. */
  readonly use?: boolean;
}

/**
 * @param text kubeconfig, YAML or JSON; may be empty
 * @returns it with the cluster; put in the place of an older one
 * @throws {MkCiError} `K8S_KUBECONFIG` when it is none
 */
export function mergeKubeconfig(text: string, { cluster, from, use = false }: MergeOptions): string {
  const name = contextName(cluster);
  const document = parseKubeconfig(text);
  const source = parseKubeconfig(from).toJS() as Readonly<
    Record<(typeof LISTS)[number], readonly Readonly<Record<string, unknown>>[]>
  >;
  const entries = {
    clusters: { name, cluster: source.clusters[0]?.['cluster'] },
    users: { name, user: source.users[0]?.['user'] },
    contexts: { name, context: { cluster: name, user: name } },
  };
  for (const key of LISTS) {
    const list = listOf(document, key);
    const at = list.items.findIndex((item) => nameOf(item) === name);
    const entry = document.createNode(entries[key]);
    if (at === -1) list.add(entry);
    else list.items[at] = entry;
  }
  if (use || !document.get('current-context')) document.set('current-context', name);
  return render(document, text);
}

/**
 * @returns it without the cluster, and without a current context when this was it
 * @throws {MkCiError} `K8S_KUBECONFIG` when it is none
 */
export function unmergeKubeconfig(text: string, cluster: string): string {
  const name = contextName(cluster);
  const document = parseKubeconfig(text);
  let changed = false;
  for (const key of LISTS) {
    if (!isSeq(document.get(key))) continue;
    const list = listOf(document, key);
    const kept = list.items.filter((item) => nameOf(item) !== name);
    changed ||= kept.length < list.items.length;
    list.items = kept;
  }
  if (document.get('current-context') === name) {
    document.set('current-context', '');
    changed = true;
  }
  return changed ? render(document, text) : text;
}

function parseKubeconfig(text: string): Document<YAMLMap> {
  const document = parseDocument(text);
  const bad = (message: string): MkCiError => new MkCiError('K8S_KUBECONFIG', { message });
  const [error] = document.errors;
  if (error !== undefined) throw bad(error.message.split('\n')[0] ?? '');
  if (document.contents === null) return parseKubeconfig('apiVersion: v1\nkind: Config\n');
  const { contents } = document;
  if (!isMap(contents)) throw bad('it is not a kubeconfig');
  for (const key of LISTS) {
    const value = contents.get(key);
    if (value !== undefined && value !== null && !isSeq(value)) throw bad(`${key} is not a list`);
  }
  return document as unknown as Document<YAMLMap>;
}

/** In JSON when the old text was. */
function render(document: Document<YAMLMap>, old: string): string {
  if (!old.trimStart().startsWith('{') || !isJson(old)) return document.toString({ lineWidth: 0 });
  return `${JSON.stringify(document.toJS(), undefined, 4)}\n`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** `null` and nothing are an empty list, as kubectl writes it. */
function listOf(document: Document<YAMLMap>, key: string): YAMLSeq {
  const found = document.get(key);
  if (isSeq(found)) return found;
  const list = document.createNode([]);
  document.set(key, list);
  return list;
}

function nameOf(item: unknown): unknown {
  return isMap(item) ? item.get('name') : undefined;
}

export interface EditOptions {
  readonly signal: AbortSignal;
  /** How long another writer is waited for. @default 5000 */
  readonly timeoutMs?: number;
}

/**
 * Changes a kubeconfig under the lock that kubectl and kind take too, `FILE.lock`. A reader sees the old content or the new one; rights
 * stay, and so does a link. A new file is for its owner alone.
 *
 * @param edit gets '' when there is no file; nothing is written when it returns what it got
 * @throws {MkCiError} `HOST_LOCKED`, `HOST_PERMISSION`, `HOST_DISK_FULL`, `K8S_KUBECONFIG`
 * @see {@link https://pkg.go.dev/k8s.io/client-go/tools/clientcmd#ModifyConfig}
 */
export async function editKubeconfig(
  path: string,
  edit: (text: string) => string,
  { signal, timeoutMs = 5000 }: EditOptions,
): Promise<void> {
  const lock = `${path}.lock`;
  await takeLock(lock, { signal, timeoutMs });
  try {
    const [target, stats] = await Promise.all([orAbsent(realpath(path)), orAbsent(lstat(path))]);
    if (target === undefined && stats !== undefined)
      throw new MkCiError('K8S_KUBECONFIG', { message: `${path} is a link to a file that is not there` });
    const old = target === undefined ? '' : await readFile(target, 'utf8');
    const mode = target === undefined ? 0o600 : (await lstat(target)).mode & 0o777;
    const content = edit(old);
    if (content !== old) await writeFileAtomically(target ?? path, content, { mode });
  } catch (error) {
    throw hostErrorOf(error, path) ?? error;
  } finally {
    await rm(lock, { force: true });
  }
}

async function takeLock(
  lock: string,
  { signal, timeoutMs }: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      await makeFolder(dirname(lock));
      await writeFile(lock, '', { flag: 'wx' });
      return;
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw hostErrorOf(error, lock) ?? error;
    }
    if (performance.now() >= deadline) {
      throw new MkCiError('HOST_LOCKED', {
        message: `${lock} is there`,
        advice: 'kubectl or another tool changes the kubeconfig. When none does, one was killed: remove this file.',
      });
    }
    await delay(20 + Math.random() * 30, undefined, { signal }).catch(() => {
      signal.throwIfAborted();
    });
  }
}

async function orAbsent<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Kubeconfigs into which a cluster was merged, by the folder of the cluster. */
export async function readMerged(folder: string): Promise<readonly string[]> {
  const text = await orAbsent(readFile(mergedFile(folder), 'utf8'));
  if (text === undefined || !isJson(text)) return [];
  const value: unknown = JSON.parse(text);
  return Array.isArray(value) ? value.filter((path) => typeof path === 'string') : [];
}

/** Remembers a kubeconfig, so that the cluster is changed and deleted there too. */
export async function rememberMerged(folder: string, path: string): Promise<void> {
  const paths = new Set([...(await readMerged(folder)), path]);
  await writeFileAtomically(mergedFile(folder), `${JSON.stringify([...paths])}\n`);
}

export async function forgetMerged(folder: string, path: string): Promise<void> {
  const known = await readMerged(folder);
  const paths = known.filter((one) => one !== path);
  if (paths.length < known.length) await writeFileAtomically(mergedFile(folder), `${JSON.stringify(paths)}\n`);
}

function mergedFile(folder: string): string {
  return join(folder, 'merged.json');
}
