import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { MkCiError, systemErrorCode } from '../errors.js';

/** Logs of failed starts that are kept. */
const KEPT_FAILURES = 10;

/**
 * Keeps the logs of a start that failed outside of the cluster's folder, which goes.
 *
 * @param save writes them into the folder it is given
 * @returns that folder; `undefined` when the disk does not take them, which may be the very reason of the failure
 */
export async function keepFailedStart(
  { stateFolder, name, now }: { readonly stateFolder: string; readonly name: string; readonly now: Date },
  save: (target: string) => Promise<void>,
): Promise<string | undefined> {
  const folder = join(stateFolder, 'failed-starts');
  const target = join(folder, `${now.toISOString().replaceAll(/[^0-9]/g, '')}-${name}`);
  try {
    await save(target);
    const old = (await readdir(folder)).sort().slice(0, -KEPT_FAILURES);
    for (const entry of old) await rm(join(folder, entry), { recursive: true, force: true });
    return target;
  } catch (error) {
    if (systemErrorCode(error) === undefined && !(error instanceof MkCiError)) throw error;
    await rm(target, { recursive: true, force: true });
    return undefined;
  }
}

/** The same error, which also says where the logs are. */
export function withLogs(error: unknown, folder: string | undefined): unknown {
  if (!(error instanceof MkCiError) || folder === undefined || !error.code.startsWith('K8S_')) return error;
  return new MkCiError(error.code, {
    message: error.message.slice(error.message.indexOf(': ') + 2),
    advice: `${error.advice} Logs: ${folder}`,
    cause: error,
    details: { ...error.details, logs: folder },
  });
}
