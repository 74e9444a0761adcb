import { readdir, readFile, readlink } from 'node:fs/promises';

import { MkCiError, isMkCiError } from '../errors.js';

/**
 * Nodes in containers share the kernel's limit of inotify instances, which it counts for a user, and a node takes some thirty of
 * the 128 that it allows by default. One that finds none left does not fail: kube-proxy ends and is started again, certificates
 * are not read anew, units are not seen to end. So a node that would not find enough is not begun.
 */

/**
 * What a node has once it is up, with containerd (v1.36.3): systemd 5, dbus 1, containerd 2, the kubelet 7 and kube-proxy 1; a control
 * plane also 6 of the API server and 7 of the controller manager.
 */
export const INOTIFY_INSTANCES = { controlPlane: 30, worker: 16, withoutKubernetes: 8 } as const;

/** A node that runs in a container. */
export interface InotifyNode {
  /** Of its container. */
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Instances that it will have. */
  readonly instances: number;
}

export interface InotifyHost {
  /** Of root; `undefined` where the kernel does not tell, as on another system. */
  readonly limit: number | undefined;
  /** Instances that root has outside of these containers; zero where that can not be seen. */
  readonly countWithout: (ids: readonly string[]) => Promise<number>;
  /** Whether it can be seen. */
  readonly canCount: boolean;
}

/**
 * Nodes count with all that they will have, in the order of their start, also those of other processes: the first ones stay.
 *
 * @param nodes all that run, with the new one
 * @throws {MkCiError} `HOST_RESOURCES` with the remedy
 */
export async function checkInotify(id: string, nodes: readonly InotifyNode[], host: InotifyHost): Promise<void> {
  const { limit } = host;
  const all = nodes.reduce((sum, { instances }) => sum + instances, 0);
  // Looking at all processes takes a tenth of a second.
  if (limit === undefined || all * 4 <= limit) return;
  const inTurn = nodes.toSorted((a, b) => a.startedAt - b.startedAt || (a.id < b.id ? -1 : 1));
  const wanted = inTurn
    .slice(0, inTurn.findIndex((node) => node.id === id) + 1)
    .reduce((sum, { instances }) => sum + instances, 0);
  const others = await host.countWithout(nodes.map((node) => node.id));
  if (others + wanted <= limit) return;
  throw new MkCiError('HOST_RESOURCES', {
    message: `inotify allows ${limit} instances, other programs have ${others} and nodes want ${wanted}`,
    advice: `Run sysctl fs.inotify.max_user_instances=${suggest(limit, others + wanted)} as root, or have fewer nodes at a time.`,
    details: { inotify: { limit, others, wanted } },
  });
}

/** Of {@link checkInotify}: it passes when other nodes end. */
export function isShortOfInotify(error: unknown): error is MkCiError {
  return isMkCiError(error, 'HOST_RESOURCES') && error.details['inotify'] !== undefined;
}

/** Room for twice as much as is wanted, as a power of two. */
function suggest(limit: number, wanted: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(limit, wanted) * 2));
}

/** Of this host. @param proc folder of the processes */
export async function readInotifyHost(proc = '/proc', uid = process.getuid?.()): Promise<InotifyHost> {
  const text = await readFile(`${proc}/sys/fs/inotify/max_user_instances`, 'utf8').catch(() => '');
  const canCount = uid === 0;
  return {
    limit: /^\d+\s*$/.test(text) ? Number(text) : undefined,
    canCount,
    countWithout: async (ids) => (canCount ? await countInstances(proc, ids) : 0),
  };
}

/** What new nodes can have on this host; `undefined` where the kernel does not tell. */
export async function freeInotifyInstances(host?: InotifyHost): Promise<number | undefined> {
  const { limit, countWithout } = host ?? (await readInotifyHost());
  return limit === undefined ? undefined : Math.max(0, limit - (await countWithout([])));
}

/** Whether nodes with so many instances can begin beside others with as many, which go on. */
export async function hasRoomBeside(instances: number, host?: InotifyHost): Promise<boolean> {
  const { limit, canCount, countWithout } = host ?? (await readInotifyHost());
  if (limit === undefined) return true;
  return (canCount ? await countWithout([]) : instances) + instances <= limit;
}

/** Of root, in processes outside of these containers. */
async function countInstances(proc: string, without: readonly string[]): Promise<number> {
  const pids = (await readdir(proc)).filter((name) => /^\d+$/.test(name));
  let count = 0;
  for (const pid of pids) {
    try {
      const folder = `${proc}/${pid}/fd`;
      const targets = await Promise.all(
        (await readdir(folder)).map((fd) => readlink(`${folder}/${fd}`).catch(() => '')),
      );
      const own = targets.filter((target) => target === 'anon_inode:inotify').length;
      if (own === 0) continue;
      const [status, cgroups] = await Promise.all(
        ['status', 'cgroup'].map(async (name) => await readFile(`${proc}/${pid}/${name}`, 'utf8')),
      );
      const isOfRoot = /^Uid:\s+0\s/m.test(status ?? '');
      if (isOfRoot && !without.some((id) => cgroups?.includes(id))) count += own;
    } catch {
      // It ended meanwhile.
    }
  }
  return count;
}
