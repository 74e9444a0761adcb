import type { ApiClient } from '../../../api-client.js';
import { waitForAnswer, type ReadinessOptions } from '../../../readiness.js';

/**
 * Waits until CoreDNS answers: a pod of it is Ready.
 *
 * @param since only containers started after it count: right after a restart of nodes, the API tells what was before
 */
export async function waitForDns(
  client: ApiClient,
  options: ReadinessOptions & { readonly since?: Date },
): Promise<void> {
  await waitForAnswer<true>(client, '/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns', {
    ...options,
    what: 'a CoreDNS pod to be Ready',
    intervalMs: 100,
    judge: (body) => {
      const { ready, all } = readyDnsPods(JSON.parse(body), options.since);
      return ready > 0 ? { done: true, value: true } : { done: false, seen: `0 of ${all} pods ready` };
    },
  });
}

interface DnsPods {
  readonly items: readonly {
    readonly status?: {
      readonly containerStatuses?: readonly {
        readonly ready: boolean;
        readonly state?: { readonly running?: { readonly startedAt?: string } };
      }[];
    };
  }[];
}

export function readyDnsPods(list: unknown, since: Date | undefined): { readonly ready: number; readonly all: number } {
  const { items } = list as DnsPods;
  // The API gives whole seconds.
  const earliest = since === undefined ? -Infinity : Math.floor(since.getTime() / 1000) * 1000;
  const ready = items.filter(({ status }) => {
    const containers = status?.containerStatuses ?? [];
    return (
      containers.length > 0 &&
      containers.every(({ ready, state }) => ready && Date.parse(state?.running?.startedAt ?? '') >= earliest)
    );
  });
  return { ready: ready.length, all: items.length };
}

/**
 * Waits until kube-proxy runs on each node: without it the pods are up, DNS among them, and no Service leads to one. It has no
 * probe, so one that ends again and again is taken for ready at times.
 */
export async function waitForProxies(
  client: ApiClient,
  names: readonly string[],
  options: ReadinessOptions,
): Promise<void> {
  await waitForAnswer<true>(client, '/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-proxy', {
    ...options,
    what: 'kube-proxy to run on each node',
    intervalMs: 100,
    judge: (body) => {
      const missing = nodesWithoutProxy(JSON.parse(body), names);
      return missing.length === 0 ? { done: true, value: true } : { done: false, seen: `not on ${missing.join(', ')}` };
    },
  });
}

export function nodesWithoutProxy(list: unknown, names: readonly string[]): string[] {
  const { items } = list as {
    readonly items: readonly {
      readonly spec?: { readonly nodeName?: string };
      readonly status?: { readonly containerStatuses?: readonly { readonly ready: boolean }[] };
    }[];
  };
  const running = items.filter(({ status }) => status?.containerStatuses?.some(({ ready }) => ready) === true);
  const nodes = new Set(running.map(({ spec }) => spec?.nodeName));
  return names.filter((name) => !nodes.has(name));
}

/** Subnets of pods by node, once each of these nodes has one. */
export async function waitForPodSubnets(
  client: ApiClient,
  names: readonly string[],
  options: ReadinessOptions,
): Promise<ReadonlyMap<string, string>> {
  return await waitForAnswer<ReadonlyMap<string, string>>(client, '/api/v1/nodes', {
    ...options,
    what: 'the subnet of each node',
    intervalMs: 50,
    judge: (body) => {
      const found = podSubnetsOf(JSON.parse(body));
      const missing = names.filter((name) => !found.has(name));
      return missing.length === 0
        ? { done: true, value: found }
        : { done: false, seen: `none for ${missing.join(', ')}` };
    },
  });
}

export function podSubnetsOf(list: unknown): Map<string, string> {
  const { items } = list as {
    readonly items: readonly {
      readonly metadata: { readonly name: string };
      readonly spec?: { readonly podCIDR?: string };
    }[];
  };
  return new Map(
    items.flatMap(({ metadata, spec }) => (spec?.podCIDR === undefined ? [] : [[metadata.name, spec.podCIDR]])),
  );
}

/**
 * Waits until each kubelet has renewed its lease after `since`: right after a restart a node looks Ready because it was so
 * before.
 */
export async function waitForHeartbeats(
  client: ApiClient,
  names: readonly string[],
  since: Date,
  options: ReadinessOptions,
): Promise<void> {
  await waitForAnswer<true>(client, '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases', {
    ...options,
    what: 'a sign of life from each kubelet',
    intervalMs: 100,
    judge: (body) => {
      const silent = silentNodes(JSON.parse(body), names, since);
      return silent.length === 0
        ? { done: true, value: true }
        : { done: false, seen: `nothing from ${silent.join(', ')}` };
    },
  });
}

export function silentNodes(list: unknown, names: readonly string[], since: Date): string[] {
  const { items } = list as {
    readonly items: readonly {
      readonly metadata: { readonly name: string };
      readonly spec?: { readonly renewTime?: string };
    }[];
  };
  const renewed = new Map(items.map(({ metadata, spec }) => [metadata.name, Date.parse(spec?.renewTime ?? '')]));
  return names.filter((name) => !((renewed.get(name) ?? 0) > since.getTime()));
}
