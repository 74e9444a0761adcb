import type {
  ClusterCallOptions,
  ClusterLease,
  ClusterSource,
  ClusterSpec,
  RunningCluster,
} from '../cluster/cluster.js';

export interface FakeClusterOptions {
  /** Called on each acquire; throws to let it fail, waits to make it slow. */
  readonly onAcquire?: (
    spec: Omit<ClusterSpec, 'name'>,
    kind: 'shared' | 'fresh',
    options: ClusterCallOptions,
  ) => Promise<void>;
  readonly saveLogs?: (folder: string) => Promise<void>;
}

/** A source of clusters that are only names; counts what is asked of it. For tests of whatever uses clusters. */
export interface FakeClusters extends ClusterSource {
  readonly acquired: string[];
  /** Given back, in order. */
  readonly released: string[];
  readonly kept: string[];
  disposed: number;
}

export function createFakeClusters(options: FakeClusterOptions = {}): FakeClusters {
  let count = 0;
  const acquired: string[] = [];
  const released: string[] = [];
  const kept: string[] = [];
  return {
    acquired,
    released,
    kept,
    disposed: 0,
    acquire: async (spec, kind, call): Promise<ClusterLease> => {
      count += 1;
      const name = `fake-${count}`;
      call.onPhase?.({ cluster: name, name: 'start', state: 'started' });
      try {
        await options.onAcquire?.(spec, kind, call);
      } catch (error) {
        call.onPhase?.({ cluster: name, name: 'start', state: 'failed', durationMs: 1 });
        throw error;
      }
      call.onPhase?.({ cluster: name, name: 'start', state: 'ok', durationMs: 1 });
      acquired.push(`${kind} ${name}`);
      const cluster: RunningCluster = {
        name,
        spec: { name, ...spec },
        server: 'https://127.0.0.1:1',
        kubeconfig: `/nowhere/${name}/kubeconfig`,
        binaries: '/nowhere/bin',
        saveLogs: async (folder) => {
          await options.saveLogs?.(folder);
        },
        exec: async () => {
          throw new Error('a fake cluster runs no commands');
        },
      };
      return {
        cluster,
        keep: async () => {
          kept.push(name);
        },
        [Symbol.asyncDispose]: async () => {
          released.push(name);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      this.disposed += 1;
    },
  };
}
