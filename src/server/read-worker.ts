import { parentPort, workerData } from 'node:worker_threads';

import { isMkCiError, messageOf } from '../errors.js';
import { openFlakeStore, type FlakeStore } from '../flake/index.js';
import { READ_ROUTES } from './api.js';
import type { ReadReply, ReadRequest, ReadWorkerData } from './read-pool.js';

/** A thread of {@link createReadPool}: one request at a time, each with a reply. */

const { location } = workerData as ReadWorkerData;
let store: FlakeStore | undefined;

async function replyTo({ path, query, part }: ReadRequest): Promise<ReadReply> {
  try {
    // Anew at the next request when it failed: a database may be locked for a moment.
    store ??= await openFlakeStore(location, { readonly: true });
    const asked = READ_ROUTES.find((one) => one.path === path)?.parts[part];
    if (asked === undefined) throw new RangeError(`no address ${path}`);
    return { kind: 'text', text: await asked.read(store, query) };
  } catch (error) {
    if (!isMkCiError(error)) return { kind: 'bug', message: messageOf(error) };
    const { code, message, advice, details } = error;
    return { kind: 'error', code, message, advice, details };
  }
}

parentPort?.on('message', (request: ReadRequest) => {
  void replyTo(request).then((reply) => parentPort?.postMessage(reply));
});
