import { MkCiError } from '../errors.js';
import { waitFor, type Probe } from '../wait.js';
import type { ApiClient } from './api-client.js';

const INTERVAL_MS = 40;

export interface ReadinessOptions {
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
  /** Asked between two probes; throws when waiting is of no use because a component ended. */
  readonly check: () => Promise<void>;
}

/** Waits until the API server says that it serves: `/readyz`, with all its checks. */
export async function waitForReadyz(client: ApiClient, options: ReadinessOptions): Promise<void> {
  await waitForExistence(client, '/readyz', 'the API server to be ready (/readyz)', options);
}

/**
 * Waits until a pod could be created: namespaces `default` and `kube-system`, and the `default` ServiceAccount with the
 * certificate that pods of it mount.
 */
export async function waitForDefaults(client: ApiClient, options: ReadinessOptions): Promise<void> {
  const startedAt = performance.now();
  const left = (): ReadinessOptions => ({
    ...options,
    deadlineMs: Math.max(1, options.deadlineMs - (performance.now() - startedAt)),
  });
  // The controllers make the objects of all namespaces together: the order here only saves requests.
  for (const [path, what] of [
    ['/api/v1/namespaces/default', 'namespace default'],
    ['/api/v1/namespaces/kube-system', 'namespace kube-system'],
    ['/api/v1/namespaces/default/serviceaccounts/default', 'ServiceAccount default in namespace default'],
    ['/api/v1/namespaces/default/configmaps/kube-root-ca.crt', 'ConfigMap kube-root-ca.crt in namespace default'],
  ] as const) {
    await waitForExistence(client, path, what, left());
  }
}

/** Waits until each of these nodes has the condition Ready and no taint of a node that is not. */
export async function waitForNodes(
  client: ApiClient,
  names: readonly string[],
  options: ReadinessOptions,
): Promise<void> {
  await waitForAnswer<true>(client, '/api/v1/nodes', {
    ...options,
    what: `${names.length} nodes to be Ready`,
    intervalMs: INTERVAL_MS * 2,
    judge: (body) => {
      const waiting = notReadyNodes(JSON.parse(body), names);
      return waiting.length === 0 ? { done: true, value: true } : { done: false, seen: waiting.join(', ') };
    },
  });
}

/** @returns one entry for each node that pods can not be scheduled on yet, with the reason */
export function notReadyNodes(list: unknown, names: readonly string[]): string[] {
  const nodes = new Map((list as NodeList).items.map((node) => [node.metadata.name, node]));
  return names.flatMap((name) => {
    const node = nodes.get(name);
    if (node === undefined) return [`${name}: does not exist`];
    const ready = node.status?.conditions?.find((condition) => condition.type === 'Ready');
    if (ready?.status !== 'True') return [`${name}: Ready is ${ready?.status ?? 'not set'}`];
    const taint = node.spec?.taints?.find(({ key }) => key.startsWith('node.kubernetes.io/'));
    return taint === undefined ? [] : [`${name}: taint ${taint.key}`];
  });
}

/** The part of a NodeList that is read here. */
interface NodeList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly spec?: { readonly taints?: readonly { readonly key: string }[] };
    readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  }[];
}

/** Longer than any answer that is on its way: a machine whose processor is translated takes seconds for one. */
export const ANSWER_MS = 15_000;

export interface AwaitedAnswer<T> extends ReadinessOptions {
  /** What is awaited, as the end of "waiting for …". */
  readonly what: string;
  readonly intervalMs: number;
  /** Reads the body of an answer with status 200. */
  readonly judge: (body: string) => Probe<T>;
}

/** Asks for a path until the answer is the awaited one. A server that can not be reached, or says no, is asked again. */
export async function waitForAnswer<T>(client: ApiClient, path: string, options: AwaitedAnswer<T>): Promise<T> {
  const { what, intervalMs, judge, check, deadlineMs } = options;
  return await waitFor<T>(
    async (signal) => {
      await check();
      try {
        const answer = await client.request('GET', path, { signal, timeoutMs: ANSWER_MS });
        if (answer.status === 200) return judge(answer.body);
        return { done: false, seen: `HTTP ${answer.status}: ${summarise(answer.body)}` };
      } catch (error) {
        if (error instanceof MkCiError && error.code === 'NET_UNREACHABLE') return { done: false, seen: error.message };
        throw error;
      }
    },
    { what, intervalMs, signal: options.signal, deadlineMs },
  );
}

async function waitForExistence(
  client: ApiClient,
  path: string,
  what: string,
  options: ReadinessOptions,
): Promise<void> {
  const judge = (): Probe<true> => ({ done: true, value: true });
  await waitForAnswer<true>(client, path, { ...options, what, intervalMs: INTERVAL_MS, judge });
}

/** Failed checks of `/readyz`, or the start of anything else. */
function summarise(body: string): string {
  const failed = body.split('\n').filter((line) => line.startsWith('[-]'));
  return (failed.length > 0 ? failed.join('; ') : body.replaceAll(/\s+/g, ' ')).slice(0, 300);
}
