import { access, constants, copyFile, readdir, stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { hostErrorOf, isMkCiError, messageOf, systemErrorCode } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { BundleProgram } from './bundle.js';
import { COMPONENTS, formatPlatform, pathInBundle, type Platform, type ProgramDefinition } from './catalogue.js';
import { displayUrl, type ContentReader } from './content.js';
import { hashFile } from './hash-file.js';
import { HttpFailure } from './http.js';
import { MANIFEST_FILE, parseManifest, type BundleManifest } from './manifest.js';
import { mirrorServers, releaseFileOf } from './release-layout.js';
import { megabytes, tryRelease } from './release-source.js';
import type { ProgramSource, SourceContext } from './source.js';

export interface MirrorOptions {
  /** Folder or `http(s)` address, as given to `--from`. */
  readonly from: string;
  /** Relative folders are taken from here. */
  readonly cwd: string;
  readonly reader: ContentReader;
  /** Asks programs that come without a sum for their version. */
  readonly exec: Exec;
}

/**
 * A mirror, in one of three layouts, tried in this order for what is still missing:
 *
 * 1. A bundle: `manifest.json` in it, in its subfolder `<version>-<os>-<arch>`, or (a folder only) in one whose name
 *    begins so, as in mk-ci's own cache. Files are checked against the manifest.
 * 2. The layout of the release servers: `[release/]<version>/bin/<os>/<arch>/kubectl` with `.sha256` beside it,
 *    `etcd-io/etcd/releases/download/…`, `kubernetes-sigs/kwok/releases/download/…`. Instead of a project's own form of
 *    sums, `<file>.sha256` does.
 * 3. A folder with the bare programs, in it or in its `bin`. They have no published sum: they are asked for their
 *    version, and taken as they are because the user named the folder.
 */
export function createMirrorSource({ from, cwd, reader, exec }: MirrorOptions): ProgramSource {
  const root = mirrorRoot(from, cwd);
  return {
    name: `mirror ${displayUrl(root)}`,
    obtain: async (programs, context) => {
      const reasons = new Map<BundleProgram, string>();
      const unreachable = new Map<string, string>();
      const found = await findManifest(root, reader, context);
      for (const program of programs) {
        context.signal.throwIfAborted();
        const reason =
          'manifest' in found
            ? await takeFromBundle(program, found, reader, context)
            : found.final
              ? found.reason
              : await takeLoose(program, root, { reader, exec }, context, unreachable, found.reason);
        if (reason !== undefined) reasons.set(program.name, reason);
      }
      return reasons;
    },
  };
}

/** The mirror's address without `/` at the end; a folder becomes a `file:` address. */
export function mirrorRoot(from: string, cwd: string): string {
  const url = /^(?:https?|file):\/\//.test(from)
    ? from
    : pathToFileURL(isAbsolute(from) ? from : resolve(cwd, from)).href;
  return url.replace(/\/+$/, '');
}

type FoundManifest =
  | { readonly manifest: BundleManifest; readonly base: string }
  /** `final`: it is no use to look for anything else there. */
  | { readonly reason: string; readonly final: boolean };

async function findManifest(root: string, reader: ContentReader, context: SourceContext): Promise<FoundManifest> {
  const reasons: string[] = [];
  /** Bundles that are there, for something else. */
  const others: string[] = [];
  for (const base of await manifestFolders(root, context)) {
    try {
      const text = await reader.readText(`${base}/${MANIFEST_FILE}`, context.signal);
      const manifest = parseManifest(text, displayUrl(`${base}/${MANIFEST_FILE}`));
      const mismatch = mismatchOf(manifest, context);
      if (mismatch === undefined) return { manifest, base };
      others.push(mismatch);
    } catch (error) {
      if (error instanceof HttpFailure && error.kind === 'unreachable') return { reason: error.message, final: true };
      if (error instanceof HttpFailure && error.status !== 404) reasons.push(error.message);
      // A web server may answer with a page where there is no file: that is no manifest, and no reason to stop.
      else if (isMkCiError(error, 'BND_CHECKSUM')) reasons.push(error.message);
      else if (!(error instanceof HttpFailure)) throw error;
    }
  }
  return { reason: others[0] ?? reasons[0] ?? 'no bundle there', final: others.length > 0 };
}

async function manifestFolders(root: string, { kubernetesVersion, platform }: SourceContext): Promise<string[]> {
  const name = `${kubernetesVersion}-${formatPlatform(platform)}`;
  const folders = [root, `${root}/${name}`];
  if (!root.startsWith('file:')) return folders;
  for (const parent of [root, `${root}/bundles`]) {
    const names = await readdir(new URL(`${parent}/`)).catch(() => []);
    folders.push(...names.filter((entry) => entry.startsWith(`${name}-`)).map((entry) => `${parent}/${entry}`));
  }
  return folders;
}

function mismatchOf(manifest: BundleManifest, { kubernetesVersion, platform }: SourceContext): string | undefined {
  if (manifest.kubernetesVersion !== kubernetesVersion) return `holds ${manifest.kubernetesVersion}`;
  if (formatPlatform(manifest.platform) !== formatPlatform(platform))
    return `is for ${formatPlatform(manifest.platform)}`;
  return undefined;
}

async function takeFromBundle(
  program: ProgramDefinition,
  { manifest, base }: { readonly manifest: BundleManifest; readonly base: string },
  reader: ContentReader,
  context: SourceContext,
): Promise<string | undefined> {
  const file = manifest.files.find(({ name }) => name === program.name);
  if (file === undefined) return `the bundle has no ${program.name}`;
  const { signal, onStep } = context;
  const url = `${base}/${file.path}`;
  const step = `${program.name} ${file.version}`;
  const startedAt = performance.now();
  onStep({ name: step, state: 'started', message: `from ${displayUrl(url)}` });
  try {
    const got = await reader.readFile(url, {
      workFolder: context.workFolder,
      partialFolder: context.folders.partial,
      sha256: file.sha256,
      signal,
      onProgress: ({ bytes }) => {
        onStep({
          name: step,
          state: 'progress',
          fraction: Math.min(1, bytes / Math.max(1, file.sizeBytes)),
          message: `${megabytes(bytes)} of ${megabytes(file.sizeBytes)}`,
        });
      },
      onRetry: (message) => {
        onStep({ name: step, state: 'progress', message: `again: ${message}` });
      },
    });
    const source = { kind: 'mirror', location: displayUrl(url) } as const;
    await context.keep({ program, version: file.version, ...got, sha256: file.sha256, source });
    onStep({
      name: step,
      state: 'ok',
      durationMs: performance.now() - startedAt,
      message: `${megabytes(got.sizeBytes)} from ${displayUrl(url)}`,
    });
    return undefined;
  } catch (error) {
    onStep({ name: step, state: 'failed', durationMs: performance.now() - startedAt, message: messageOf(error) });
    if (error instanceof HttpFailure) return `${displayUrl(url)}: ${error.message}`;
    throw error;
  }
}

async function takeLoose(
  program: ProgramDefinition,
  root: string,
  { reader, exec }: Pick<MirrorOptions, 'reader' | 'exec'>,
  context: SourceContext,
  unreachable: Map<string, string>,
  noBundle: string,
): Promise<string | undefined> {
  const version = COMPONENTS[program.component].versionFor(context.kubernetesVersion);
  const reasons: string[] = [];
  for (const servers of mirrorServers(root)) {
    const file = releaseFileOf(program, version, context.platform, servers);
    if (file === undefined) continue;
    const beside = { ...file, sumUrl: `${file.url}.sha256`, sumFormat: 'bare' } as const;
    for (const candidate of file.sumUrl === beside.sumUrl ? [file] : [file, beside]) {
      const reason = await tryRelease(reader, program, version, candidate, 'mirror', context, unreachable);
      if (reason === undefined) return undefined;
      if (!/no such file$|HTTP 404\b/.test(reason)) reasons.push(reason);
    }
  }
  if (root.startsWith('file:')) {
    const reason = await takeBare(program, root, exec, context);
    if (reason === undefined) return undefined;
    reasons.push(reason);
  }
  return reasons.at(-1) ?? `neither a bundle (${noBundle}) nor ${program.name} of a release`;
}

/** A program that just lies in the folder. */
async function takeBare(
  program: ProgramDefinition,
  root: string,
  exec: Exec,
  context: SourceContext,
): Promise<string | undefined> {
  const { signal, workFolder, onStep, kubernetesVersion, platform } = context;
  for (const name of [program.name, pathInBundle(program.name)]) {
    const from = displayUrl(`${root}/${name}`);
    if (!(await isProgram(from))) continue;
    const startedAt = performance.now();
    const path = join(workFolder, `${program.name}-copy`);
    try {
      await copyFile(from, path, constants.COPYFILE_FICLONE);
    } catch (error) {
      throw hostErrorOf(error, path) ?? error;
    }
    const version = await askVersion(program, path, platform, exec, signal);
    if (version === undefined) return `${from} does not tell its version`;
    const wanted = COMPONENTS[program.component].versionFor(kubernetesVersion);
    // etcd and kwok are pinned by mk-ci, not by the user: another version of them is the user's choice.
    if (program.component === 'kubernetes' && version !== wanted) return `${from} is ${version}`;
    const facts = await hashFile(path, signal);
    await context.keep({ program, version, path, ...facts, source: { kind: 'folder', location: from } });
    onStep({
      name: `${program.name} ${version}`,
      state: 'ok',
      durationMs: performance.now() - startedAt,
      message: `${megabytes(facts.sizeBytes)} from ${from}, without a published sum`,
    });
    return undefined;
  }
  return `not in ${displayUrl(root)}`;
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemErrorCode(error) ?? '')) return false;
    throw error;
  }
}

/** Version that a program prints, with `v`; `undefined` when it prints none or can not be run. */
async function askVersion(
  program: ProgramDefinition,
  path: string,
  _platform: Platform,
  exec: Exec,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const result = await exec([path, ...program.versionArguments], {
      allowFailure: true,
      timeoutMs: 30_000,
      signal,
      maxBytes: 64 * 1024,
    });
    return parseVersionOutput(result.stdout);
  } catch (error) {
    if (isMkCiError(error, 'HOST_MISSING_TOOL')) return undefined;
    throw error;
  }
}

/** First version in `Kubernetes v1.36.3`, `Client Version: v1.36.3`, `etcd Version: 3.6.8`, `kwok version v0.8.0 …`. */
export function parseVersionOutput(text: string): string | undefined {
  const match = /(?:^|\s)v?(\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.\d+)?)(?=\s|$)/.exec(text);
  return match?.[1] === undefined ? undefined : `v${match[1]}`;
}
