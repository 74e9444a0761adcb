import { z } from 'zod';

import { isMkCiError, MkCiError } from '../../errors.js';
import { lastLines, type Exec, type ExecResult } from '../../exec.js';
import type { ImageEngine } from './model.js';

/** The little that node images need of docker and podman, through their command line. */

const QUICK_TIMEOUT_MS = 60_000;
const TRANSFER_TIMEOUT_MS = 20 * 60_000;
const inspected = z.array(z.object({ Id: z.string() })).min(1);

/** Id with `sha256:`, or `undefined` when the engine has no such image. */
export async function findImage(
  engine: ImageEngine,
  reference: string,
  { exec, signal }: EngineOptions,
): Promise<string | undefined> {
  const result = await run(engine, ['image', 'inspect', reference], { exec, signal }, QUICK_TIMEOUT_MS);
  if (result.exitCode !== 0) {
    if (/no such image|image not known|no such object/i.test(result.stderr)) return undefined;
    throw engineUnusable(engine, result);
  }
  const [image] = inspected.parse(JSON.parse(result.stdout));
  return image === undefined ? undefined : `sha256:${image.Id.replace(/^sha256:/, '')}`;
}

/** @throws {MkCiError} `IMG_NO_ENGINE`, `IMG_LOAD_FAILED` when the image is not there afterwards under this id */
export async function loadImage(
  engine: ImageEngine,
  image: { readonly archive: string; readonly reference: string; readonly digest: string },
  options: EngineOptions,
): Promise<void> {
  const result = await run(engine, ['load', '-i', image.archive], options, TRANSFER_TIMEOUT_MS);
  if (result.exitCode !== 0) {
    // Podman says why for each kind of thing it could have been.
    const why = /^ \* docker-archive: (.*)$/m.exec(result.stderr)?.[1] ?? lastLines(result.stderr, 1).join('');
    throw new MkCiError('IMG_LOAD_FAILED', { message: `${engine}: ${why}` });
  }
  for (const reference of [image.reference, `localhost/${image.reference}`]) {
    if ((await findImage(engine, reference, options)) === image.digest) return;
  }
  throw new MkCiError('IMG_LOAD_FAILED', { message: `${engine} has no ${image.reference} with id ${image.digest}` });
}

/** Writes the files of an image as one tar. The container made for it is never started, and removed. */
export async function exportImage(
  engine: ImageEngine,
  image: string,
  to: string,
  options: EngineOptions,
): Promise<void> {
  const created = await run(engine, ['create', image, '/bin/true'], options, TRANSFER_TIMEOUT_MS);
  if (created.exitCode !== 0) {
    throw new MkCiError('IMG_BAD_ROOTFS', { message: `${engine}: ${lastLines(created.stderr, 1).join('')}` });
  }
  const container = created.stdout.trim().split('\n').at(-1) ?? '';
  try {
    const exported = await run(engine, ['export', '-o', to, container], options, TRANSFER_TIMEOUT_MS);
    if (exported.exitCode !== 0) {
      throw new MkCiError('IMG_BAD_ROOTFS', { message: `${engine}: ${lastLines(exported.stderr, 1).join('')}` });
    }
  } finally {
    // Also after an interruption, so without its signal.
    await options.exec([engine, 'rm', '-f', container], { allowFailure: true, timeoutMs: QUICK_TIMEOUT_MS });
  }
}

export interface EngineOptions {
  readonly exec: Exec;
  readonly signal: AbortSignal;
}

async function run(
  engine: ImageEngine,
  words: readonly string[],
  { exec, signal }: EngineOptions,
  timeoutMs: number,
): Promise<ExecResult> {
  try {
    return await exec([engine, ...words], { allowFailure: true, timeoutMs, signal });
  } catch (error) {
    if (!isMkCiError(error, 'HOST_MISSING_TOOL')) throw error;
    throw new MkCiError('IMG_NO_ENGINE', { message: `${engine} is not installed`, cause: error });
  }
}

function engineUnusable(engine: ImageEngine, result: ExecResult): MkCiError {
  return new MkCiError('IMG_NO_ENGINE', { message: `${engine}: ${lastLines(result.stderr, 1).join('')}` });
}
