import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';

import { messageOf } from '../../errors.js';
import type { ReadyProbe } from './plan.js';

export type ProbeAnswer = { readonly ready: true } | { readonly ready: false; readonly seen: string };

/** A function that asks once, within two seconds, and never rejects. Connections are kept between two questions. */
export function createProbe(probe: ReadyProbe): () => Promise<ProbeAnswer> {
  const url = new URL(probe.url);
  const read = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : readFileSync(path, 'utf8');
  const agent =
    url.protocol === 'https:'
      ? new Agent({ keepAlive: true, ca: read(probe.ca), cert: read(probe.certificate), key: read(probe.key) })
      : undefined;
  const send = agent === undefined ? httpRequest : httpsRequest;
  return async () =>
    await new Promise<ProbeAnswer>((resolve) => {
      const call = send(url, { ...(agent === undefined ? {} : { agent }), timeout: 2000 }, (response) => {
        response.resume();
        const status = response.statusCode ?? 0;
        resolve(status === 200 ? { ready: true } : { ready: false, seen: `HTTP ${status} from ${probe.url}` });
      });
      call.once('timeout', () => call.destroy(new Error('no answer in 2 s')));
      call.once('error', (error) => {
        resolve({ ready: false, seen: `${probe.url}: ${messageOf(error)}` });
      });
      call.end();
    });
}
