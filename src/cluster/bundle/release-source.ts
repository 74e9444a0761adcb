import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import PQueue from 'p-queue';

import { hostErrorOf, messageOf } from '../../errors.js';
import type { BundleProgram } from './bundle.js';
import { COMPONENTS, type ProgramDefinition } from './catalogue.js';
import { displayUrl, type ContentReader } from './content.js';
import { hashFile } from './hash-file.js';
import { HttpFailure } from './http.js';
import type { FileSource } from './manifest.js';
import { findSum, releaseFileOf, type ReleaseFile, type ReleaseServers } from './release-layout.js';
import type { ObtainedFile, ProgramSource, SourceContext } from './source.js';
import { ArchiveError, extractFromTarGz } from './untar.js';

/** Downloads at a time: more would only share the line and make each one slower to finish. */
const PARALLEL_DOWNLOADS = 3;

/** Downloads of the projects' releases, each checked against the published sum. */
export function createReleaseSource(reader: ContentReader, servers: ReleaseServers): ProgramSource {
  return {
    name: 'release downloads',
    obtain: async (programs, context) => {
      const unreachable = new Map<string, string>();
      const reasons = new Map<BundleProgram, string>();
      const queue = new PQueue({ concurrency: PARALLEL_DOWNLOADS });
      await Promise.all(
        programs.map((program) =>
          queue.add(async () => {
            const version = COMPONENTS[program.component].versionFor(context.kubernetesVersion);
            const file = releaseFileOf(program, version, context.platform, servers);
            const reason =
              file === undefined
                ? 'no programs are published'
                : await tryRelease(reader, program, version, file, 'release', context, unreachable);
            if (reason !== undefined) reasons.set(program.name, reason);
          }),
        ),
      );
      return reasons;
    },
  };
}

/**
 * Gets one program from a release layout.
 *
 * @param unreachable servers found unreachable so far, with the reason: one time-out is enough for all their files
 * @returns why it could not be had, or `undefined` when it was kept
 */
export async function tryRelease(
  reader: ContentReader,
  program: ProgramDefinition,
  version: string,
  file: ReleaseFile,
  kind: FileSource['kind'],
  context: SourceContext,
  unreachable: Map<string, string>,
): Promise<string | undefined> {
  const { signal, onStep } = context;
  const step = `${program.name} ${version}`;
  const startedAt = performance.now();
  let began = false;
  try {
    for (const url of [file.sumUrl, file.url]) {
      const known = unreachable.get(serverOf(url));
      if (known !== undefined) return known;
    }
    const sum = await readSum(reader, file, signal, unreachable);
    if ('reason' in sum) return sum.reason;
    onStep({ name: step, state: 'started', message: `from ${displayUrl(file.url)}` });
    began = true;
    const got = await reader.readFile(file.url, {
      workFolder: context.workFolder,
      partialFolder: context.folders.partial,
      sha256: sum.sha256,
      signal,
      onProgress: ({ bytes, totalBytes }) => {
        onStep({
          name: step,
          state: 'progress',
          message: `${megabytes(bytes)}${totalBytes === undefined ? '' : ` of ${megabytes(totalBytes)}`}`,
          ...(totalBytes === undefined ? {} : { fraction: bytes / totalBytes }),
        });
      },
      onRetry: (message) => {
        onStep({ name: step, state: 'progress', message: `again: ${message}` });
      },
    });
    const source: FileSource = { kind, location: displayUrl(file.url) };
    const obtained = await unpack(program, version, file, got, sum.sha256, source, context);
    await context.keep(obtained);
    onStep({
      name: step,
      state: 'ok',
      durationMs: performance.now() - startedAt,
      message: `${megabytes(obtained.sizeBytes)} from ${displayUrl(file.url)}`,
    });
    return undefined;
  } catch (error) {
    const reason = error instanceof HttpFailure || error instanceof ArchiveError ? error.message : undefined;
    if (began) {
      onStep({ name: step, state: 'failed', durationMs: performance.now() - startedAt, message: messageOf(error) });
    }
    if (reason === undefined) throw hostErrorOf(error, context.workFolder) ?? error;
    return noteFailure(file.url, error, unreachable);
  }
}

async function unpack(
  program: ProgramDefinition,
  version: string,
  file: ReleaseFile,
  got: { readonly path: string; readonly sizeBytes: number },
  sha256: string,
  source: FileSource,
  { workFolder, signal }: SourceContext,
): Promise<ObtainedFile> {
  if (file.member === undefined) return { program, version, path: got.path, sha256, sizeBytes: got.sizeBytes, source };
  const path = join(workFolder, `${program.name}-${version}`);
  await rm(path, { force: true });
  await extractFromTarGz(got.path, file.member, path, signal);
  await rm(got.path, { force: true });
  return { program, version, path, ...(await hashFile(path, signal)), source };
}

async function readSum(
  reader: ContentReader,
  file: ReleaseFile,
  signal: AbortSignal,
  unreachable: Map<string, string>,
): Promise<{ sha256: string } | { reason: string }> {
  try {
    const sha256 = findSum(await reader.readText(file.sumUrl, signal), file.sumFormat, file.fileName);
    if (sha256 !== undefined) return { sha256 };
    return { reason: `${displayUrl(file.sumUrl)} gives no sha256 for ${file.fileName}` };
  } catch (error) {
    if (!(error instanceof HttpFailure)) throw error;
    return { reason: noteFailure(file.sumUrl, error, unreachable) };
  }
}

function noteFailure(url: string, error: unknown, unreachable: Map<string, string>): string {
  const server = serverOf(url);
  if (error instanceof HttpFailure && error.kind === 'unreachable') {
    const reason = `${server}: ${error.message}`;
    unreachable.set(server, reason);
    return reason;
  }
  return `${server === 'file:' ? displayUrl(url) : server}: ${messageOf(error)}`;
}

function serverOf(url: string): string {
  return url.startsWith('file:') ? 'file:' : new URL(url).host;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
