import { freemem, loadavg, availableParallelism } from 'node:os';

import { isShortOfInotify } from '../../drivers/index.js';
import { messageOf } from '../../errors.js';
import type { Logger } from '../../log.js';
import type { ClusterLease, ClusterOwner, ClusterSource, ClusterSpec, RunningCluster } from '../cluster.js';
import type { SeedableClusterManager } from '../manager.js';
import { createPhases } from '../phases.js';
import type { ClusterSeed } from '../state-access.js';
import { templateKey, type Templates } from '../templates/index.js';
import { createPool, type Pool, type PoolSize } from './pool.js';
import { whenRoom } from './when-room.js';

export type SpecWithoutName = Omit<ClusterSpec, 'name'>;

type AcquireOptions = Parameters<ClusterSource['acquire']>[2];

export interface ClusterSourceOptions {
  readonly manager: SeedableClusterManager;
  readonly templates: Templates;
  /** The run that the clusters belong to. */
  readonly owner: ClusterOwner;
  /** Digest of the programs that a cluster of this spec runs; `undefined` where its driver can not start from copied data. */
  readonly bundleDigest: (spec: SpecWithoutName, signal: AbortSignal) => Promise<string | undefined>;
  /** Whether a template is made of a shared cluster too, for the next run. @default of fresh ones only */
  readonly keepsShared?: (spec: SpecWithoutName) => boolean;
  /** Waits until nothing is written any more. */
  readonly settle: (cluster: RunningCluster, signal: AbortSignal) => Promise<void>;
  readonly log: Logger;
  /** Prepared clusters of each configuration. @default { min: 1, max: 2 } */
  readonly pool?: PoolSize;
  /** @default room for another control plane beside a suite, and a processor that is not busy */
  readonly room?: () => { readonly fits: boolean; readonly isIdle: boolean };
  /** Deadline for removing one cluster. @default 30000 */
  readonly removeTimeoutMs?: number;
  /** First pause before a cluster that found no room is tried again. @default 3000 */
  readonly roomPauseMs?: number;
}

const KEEP_TIMEOUT_MS = 120_000;

/** Memory of a control plane as processes, with as much again for what its suite does to it. */
const CLUSTER_BYTES = 1024 * 2 ** 20;

/**
 * Clusters for the cells of one run. Removing what was made is part of disposing it, whatever happened before, and has its
 * own deadline; what could not be removed is named.
 */
export function createClusterSource(options: ClusterSourceOptions): ClusterSource {
  const { manager, templates, owner, log, removeTimeoutMs = 30_000, room = hostRoom, roomPauseMs = 3000 } = options;
  const made = new Set<string>();
  const shared = new Map<string, { readonly starting: Promise<RunningCluster>; holders: number }>();
  const pools = new Map<string, Pool<string>>();
  const makingTemplate = new Set<string>();
  let count = 0;

  const remove = async (name: string): Promise<void> => {
    await manager.delete(name, { signal: AbortSignal.timeout(removeTimeoutMs), deadlineMs: removeTimeoutMs });
    made.delete(name);
  };

  const start = async (
    spec: SpecWithoutName,
    call: AcquireOptions,
    { wantsTemplate, isWanted = true }: { readonly wantsTemplate: boolean; readonly isWanted?: boolean },
  ): Promise<RunningCluster> => {
    count += 1;
    const name = clusterName(spec, owner.runId, count);
    made.add(name);
    try {
      const digest = await options.bundleDigest(spec, call.signal);
      const key = digest === undefined ? undefined : templateKey(digest, spec);
      const begin = async (onPhase = call.onPhase): ReturnType<typeof startFrom> =>
        await startFrom(key, { ...spec, name }, { ...call, ...(onPhase && { onPhase }) });
      const onWait = (error: Error): void => {
        log.warn('a cluster waits until others have ended', { name, error: messageOf(error) });
      };
      // One that is only prepared leaves what there is to others.
      const { cluster, isSeeded } = await (isWanted
        ? whenRoom(begin, { ...call, onWait, pauseMs: roomPauseMs })
        : begin());
      if (wantsTemplate && key !== undefined && !isSeeded) await makeTemplate(key, cluster, call);
      return cluster;
    } catch (error) {
      await call.onStartFailed?.({
        name,
        saveLogs: (folder, signal) => manager.saveLogs(name, folder, signal),
      });
      await remove(name).catch((failure: unknown) => {
        log.warn('a cluster that did not start could not be removed', { name, error: messageOf(failure) });
      });
      throw error;
    }
  };

  /** From the template where there is one. With one from which no cluster starts, nobody tries a second time. */
  const startFrom = async (
    key: string | undefined,
    spec: ClusterSpec,
    call: AcquireOptions,
  ): Promise<{ readonly cluster: RunningCluster; readonly isSeeded: boolean }> => {
    if (key === undefined) return { cluster: await manager.start(spec, { ...call, owner }), isSeeded: false };
    const begun: { copy?: Awaited<ReturnType<Templates['copy']>> } = {};
    const seed: ClusterSeed = {
      copyTo: async (parts) => (begun.copy = await templates.copy(key, parts, call.signal)) !== undefined,
      check: async (signal) => {
        await begun.copy?.check(signal);
      },
    };
    try {
      const cluster = await manager.start(spec, { ...call, owner, seed });
      return { cluster, isSeeded: begun.copy !== undefined };
    } catch (error) {
      if (begun.copy === undefined || call.signal.aborted || isShortOfInotify(error)) throw error;
      log.warn('no cluster started from a template: it is made again', { name: spec.name, error: messageOf(error) });
      await templates.discard(key);
      return { cluster: await manager.start(spec, { ...call, owner }), isSeeded: false };
    }
  };

  const makeTemplate = async (key: string, cluster: RunningCluster, call: AcquireOptions): Promise<void> => {
    if (makingTemplate.has(key)) return;
    makingTemplate.add(key);
    const { signal } = call;
    const phases = createPhases(cluster.name, call.onPhase);
    try {
      await phases.run('settle', async () => {
        await options.settle(cluster, signal);
      });
      await phases.run('template-save', async () => {
        await manager.readState(cluster.name, { signal }, async (parts) => {
          await templates.make(key, parts, cluster.spec, signal);
        });
      });
      await templates.prune();
    } catch (error) {
      signal.throwIfAborted();
      // The cluster itself is well; the next one starts cold.
      log.warn('no template could be made', { cluster: cluster.name, error: messageOf(error) });
    } finally {
      makingTemplate.delete(key);
    }
  };

  const poolOf = (spec: SpecWithoutName): Pool<string> => {
    const key = specKey(spec);
    const existing = pools.get(key);
    if (existing !== undefined) return existing;
    const pool = createPool<string>({
      size: options.pool ?? { min: 1, max: 2 },
      prepare: async (signal) => {
        const cluster = await start(spec, { signal }, { wantsTemplate: true, isWanted: false });
        try {
          await manager.pause(cluster.name, { signal });
          return cluster.name;
        } catch (error) {
          await remove(cluster.name);
          throw error;
        }
      },
      discard: remove,
      refresh: async (name, signal) => {
        await manager.refresh(name, { signal });
      },
      room,
      onFailure: (error) => {
        log.warn('no cluster could be prepared, or kept ready', { driver: spec.driver, error: messageOf(error) });
      },
    });
    pools.set(key, pool);
    return pool;
  };

  const takeFresh = async (spec: SpecWithoutName, call: AcquireOptions): Promise<RunningCluster> => {
    const pool = poolOf(spec);
    const name = await pool.take();
    if (name !== undefined) {
      try {
        return await manager.unpause(name, call);
      } catch (error) {
        call.signal.throwIfAborted();
        log.warn('a prepared cluster did not continue', { name, error: messageOf(error) });
        await remove(name);
      }
    }
    return await start(spec, call, { wantsTemplate: true });
  };

  const lease = (cluster: RunningCluster, giveBack: () => Promise<void>): ClusterLease => ({
    cluster,
    keep: async () => {
      // Its supervisor ends with this process: it is started again without an owner, with the data it has.
      const call = { signal: AbortSignal.timeout(KEEP_TIMEOUT_MS) };
      await manager.stop(cluster.name, call);
      await manager.start(cluster.spec, call);
      made.delete(cluster.name);
    },
    [Symbol.asyncDispose]: giveBack,
  });

  return {
    acquire: async (spec, kind, call) => {
      if (kind === 'fresh') {
        const cluster = await takeFresh(spec, call);
        poolOf(spec).fill();
        return lease(cluster, async () => {
          await remove(cluster.name);
        });
      }
      const key = specKey(spec);
      let entry = shared.get(key);
      if (entry === undefined) {
        entry = { starting: start(spec, call, { wantsTemplate: options.keepsShared?.(spec) ?? false }), holders: 0 };
        shared.set(key, entry);
        entry.starting.catch(() => shared.delete(key));
      }
      const held = entry;
      held.holders += 1;
      const cluster = await held.starting;
      return lease(cluster, async () => {
        held.holders -= 1;
        if (held.holders > 0) return;
        shared.delete(key);
        await remove(cluster.name);
      });
    },
    [Symbol.asyncDispose]: async () => {
      const closed = await Promise.allSettled([...pools.values()].map((pool) => pool[Symbol.asyncDispose]()));
      await Promise.allSettled([...shared.values()].map(({ starting }) => starting));
      const removed = await Promise.allSettled([...made].map(remove));
      const errors = [...closed, ...removed].flatMap((result): unknown[] =>
        result.status === 'rejected' ? [result.reason] : [],
      );
      if (errors.length > 0) throw new AggregateError(errors, 'clusters of the run could not be removed');
    },
  };
}

/** `<driver and runtime>-<last part of the run id>-<number>`, a valid cluster name of at most 40 characters. */
export function clusterName(spec: SpecWithoutName, runId: string, number: number): string {
  const clean = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  const environment = clean([spec.driver, spec.containerRuntime].filter((part) => part !== undefined).join('-'));
  const run = clean(runId).replaceAll('-', '').slice(-10) || 'run';
  return `${environment.slice(0, 22).replace(/^-+|-+$/g, '') || 'cluster'}-${run}-${number}`;
}

function specKey(spec: SpecWithoutName): string {
  return templateKey('', spec);
}

function hostRoom(): { readonly fits: boolean; readonly isIdle: boolean } {
  return { fits: freemem() > 2 * CLUSTER_BYTES, isIdle: (loadavg()[0] ?? 0) < availableParallelism() };
}
