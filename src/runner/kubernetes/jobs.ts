import type { ApiAnswer, ApiClient } from '../../cluster/index.js';
import { MkCiError } from '../../errors.js';
import { waitFor } from '../../wait.js';
import { CONTAINER } from './manifest.js';
import { readJob, readPods, type EngineJob, type EnginePod } from './pods.js';

/** The few things that the engine does with the API. */
export interface JobApi {
  /** @returns uid of the Job */
  createJob(job: object, signal: AbortSignal): Promise<string>;
  createSecret(secret: object, signal: AbortSignal): Promise<void>;
  /** @returns `undefined` for a Job that is not there */
  readJob(name: string, signal: AbortSignal): Promise<EngineJob | undefined>;
  listPods(job: string, signal: AbortSignal): Promise<EnginePod[]>;
  /** The log from its beginning, for as long as the pod writes. */
  followLog(pod: string, signal: AbortSignal): AsyncIterable<Buffer>;
  /** With its pods, and waits until they are gone. Succeeds when there is none. */
  deleteJob(name: string, signal: AbortSignal): Promise<void>;
}

const GONE_MS = 90_000;

/** @throws {MkCiError} each call: `NET_UNREACHABLE`; `K8S_API_ERROR` with what the server said */
export function createJobApi(client: ApiClient, namespace: string): JobApi {
  const jobs = `/apis/batch/v1/namespaces/${namespace}/jobs`;
  const core = `/api/v1/namespaces/${namespace}`;
  const podsOf = (job: string): string => `${core}/pods?labelSelector=${encodeURIComponent(`job-name=${job}`)}`;
  const listPods: JobApi['listPods'] = async (job, signal) =>
    readPods(
      parse(expect(await client.request('GET', podsOf(job), { signal, timeoutMs: 30_000 }), 'list pods', [200])),
    );
  return {
    createJob: async (body, signal) =>
      readJob(parse(expect(await client.request('POST', jobs, { signal, body }), 'create a Job', [201]))).uid,
    createSecret: async (body, signal) => {
      expect(await client.request('POST', `${core}/secrets`, { signal, body }), 'create a Secret', [201]);
    },
    readJob: async (name, signal) => {
      const answer = expect(await client.request('GET', `${jobs}/${name}`, { signal }), 'read the Job', [200, 404]);
      return answer.status === 404 ? undefined : readJob(parse(answer));
    },
    listPods,
    followLog: (pod, signal) => client.stream(`${core}/pods/${pod}/log?container=${CONTAINER}&follow=true`, signal),
    deleteJob: async (name, signal) => {
      const body = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background' };
      expect(await client.request('DELETE', `${jobs}/${name}`, { signal, body }), 'delete the Job', [200, 202, 404]);
      await waitFor<true>(
        async (limit) => {
          const left = await listPods(name, limit);
          return left.length === 0 ? { done: true, value: true } : { done: false, seen: `${left.length} pods` };
        },
        { what: 'the pods of the Job to be gone', deadlineMs: GONE_MS, intervalMs: 500, signal, code: 'K8S_API_ERROR' },
      );
    },
  };
}

function expect(answer: ApiAnswer, what: string, statuses: readonly number[]): ApiAnswer {
  if (statuses.includes(answer.status)) return answer;
  throw new MkCiError('K8S_API_ERROR', {
    message: `could not ${what}: ${messageIn(answer.body) ?? `HTTP ${answer.status}`}`,
    ...(answer.status === 403 || answer.status === 401
      ? { advice: 'Give the user of the context the rights that docs/machines.md lists for the engine.' }
      : {}),
    details: { status: answer.status },
  });
}

function messageIn(body: string): string | undefined {
  try {
    const { message } = JSON.parse(body) as { readonly message?: unknown };
    return typeof message === 'string' ? message : undefined;
  } catch {
    return undefined; // a proxy's page
  }
}

function parse({ body }: ApiAnswer): unknown {
  return JSON.parse(body);
}
