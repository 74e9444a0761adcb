import type { DriverProblem } from '../../drivers/driver.js';
import { INOTIFY_INSTANCES } from '../../drivers/inotify.js';
import type { HostFacts } from './facts.js';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** One process-based control plane takes about 500 MB, so below this not even one has room beside its suite. */
const MIN_MEMORY_BYTES = 1.5 * GIB;
/** etcd, API server and watches of one cluster hold some hundred files; several clusters and a runtime many more. */
const MIN_OPEN_FILES = 4096;
/** Values at which a dozen nodes in containers work (kind's "known issues" page names them). */
const MIN_INOTIFY_INSTANCES = 512;
const MIN_INOTIFY_WATCHES = 262_144;
/** The programs of one Kubernetes version take 0.5 GB, node images up to 2 GB. */
const MIN_FREE_DISK_BYTES = 3 * GIB;

/** What of this host gets in the way of any driver. Empty when all is well. */
export function judgeHost(facts: HostFacts): DriverProblem[] {
  const problems: DriverProblem[] = [];
  const add = (reason: string, message: string, fix: string): void => {
    problems.push({ reason, message, fix });
  };
  const memoryBytes = facts.memoryAvailableBytes ?? facts.memoryBytes;
  if (memoryBytes < MIN_MEMORY_BYTES) {
    add(
      'HOST_LOW_MEMORY',
      `${Math.round(memoryBytes / MIB)} MiB of memory are available, a cluster and its suite need ${MIN_MEMORY_BYTES / MIB}`,
      'Free memory or use a larger host; run with --jobs 1.',
    );
  }
  const { openFiles, inotify } = facts;
  if (openFiles !== undefined && openFiles.soft < MIN_OPEN_FILES) {
    add(
      'HOST_LOW_OPEN_FILES',
      `a process may open ${openFiles.soft} files`,
      openFiles.hard >= MIN_OPEN_FILES
        ? `Run ulimit -n ${openFiles.hard === Infinity ? 65_536 : openFiles.hard} before mk-ci.`
        : `Raise the hard limit of open files (now ${openFiles.hard}) in limits.conf or in the container's settings.`,
    );
  }
  if (inotify !== undefined && (inotify.instances < MIN_INOTIFY_INSTANCES || inotify.watches < MIN_INOTIFY_WATCHES)) {
    add(
      'HOST_LOW_INOTIFY',
      `inotify allows ${inotify.instances} instances and ${inotify.watches} watches: enough for ${Math.floor(inotify.instances / INOTIFY_INSTANCES.controlPlane)} nodes in containers at a time`,
      `Run sysctl fs.inotify.max_user_instances=${MIN_INOTIFY_INSTANCES * 2} fs.inotify.max_user_watches=${MIN_INOTIFY_WATCHES * 2} as root.`,
    );
  }
  for (const { purpose, path, freeBytes } of facts.disks) {
    if (freeBytes >= MIN_FREE_DISK_BYTES) continue;
    add(
      'HOST_LOW_DISK',
      `${Math.round(freeBytes / MIB)} MiB are free for the ${purpose} folder ${path}`,
      'Free space, or choose another disk with MK_CI_HOME.',
    );
  }
  return problems;
}
