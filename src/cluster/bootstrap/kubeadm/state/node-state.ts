import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { Machine } from '../../../../drivers/driver.js';
import { allOf } from '../all-of.js';
import { askFacts, runScript, type ClusterNode, type KnownNode, type NodeWork } from '../nodes/cluster-nodes.js';
import { MARK_NEW_NODE, NODE_MARKER } from '../render/node-marker.js';
import { WAIT_FOR_SYSTEMD } from '../render/node-scripts.js';

/**
 * What a node has beyond its image, as one archive: all of `/var`, and the files of the rest that changed since the node was
 * made. Images of the node image are links to its layers, so the archive of a new cluster takes some 15 MB. A machine that
 * is made anew from the image and given the archive is the same node as after a restart; processes, mounts, network rules
 * and cgroups of the old one are not in it. A file that the image brought and that was deleted is there again.
 */

const ARCHIVE = '/var/lib/mk-ci/state.tar';
/** Names of what is in it; folders end with a slash, so that one is not taken for a file of the same name. */
const KEPT = '/run/mk-ci-kept';

/** The engine's own for this machine, or of no use elsewhere. */
const LEFT_OUT = [
  ...['/proc', '/sys', '/dev', '/run', '/tmp', '/.dockerenv'],
  ...['/etc/hosts', '/etc/hostname', '/etc/resolv.conf', '/etc/mtab', '/etc/machine-id'],
];
const LEFT_OUT_OF_VAR = [
  '/var/log/journal',
  NODE_MARKER,
  ARCHIVE,
  '/var/lib/containerd/tmpmounts',
  // etcd prepares its next log file ahead, and makes it again.
  '/var/lib/etcd/member/wal/*.tmp',
];

const paths = (list: readonly string[]): string => list.map((path) => `-path '${path}'`).join(' -o ');

/**
 * Names, each followed by NUL, of what changed outside of `/var`. Not of what is mounted for this machine, such as the modules of the
 * host's kernel: a folder shows the times of what is mounted on it, and is read-only where the archive is unpacked.
 */
export const LIST_CHANGED = `
  set --
  for mounted in $(cut -d ' ' -f 5 /proc/self/mountinfo); do set -- "$@" -o -path "$mounted"; done
  find / -xdev -mindepth 1 \\( -path /var -o ${paths(LEFT_OUT)} "$@" \\) -prune -o -newercm ${NODE_MARKER} ! -type s -print0`;

/**
 * Writes the archive while every other process of the node stands still, so that its files are of one moment: etcd and
 * the databases of the runtime are as after a crash, which they recover from. etcd's log is mostly zeros that are
 * allocated, and tar leaves out only those that are not. One compound command, so that the shell has
 * read all of it before it stops what might feed it; whatever happens, they go on.
 */
export const SAVE_STATE = `{
  ${MARK_NEW_NODE.trim()}
  rm -f ${ARCHIVE}
  trap 'kill -CONT -1' EXIT
  kill -STOP -1
  {${LIST_CHANGED}
    find /var -mindepth 1 -xdev \\( ${paths(LEFT_OUT_OF_VAR)} \\) -prune -o ! -type s -print0
  } >/run/mk-ci-state-files
  fallocate --dig-holes /var/lib/etcd/member/wal/*.wal 2>/dev/null || true
  code=0
  tar -C / -cSf ${ARCHIVE} --no-recursion --xattrs --xattrs-include='*' --numeric-owner --warning=no-file-changed \\
    --absolute-names --null -T /run/mk-ci-state-files || code=$?
  rm -f /run/mk-ci-state-files
  [ "$code" -le 1 ]
  exit
}
`;

/** Lets a node go on whose script was ended from outside. */
export const CONTINUE_NODE = 'kill -CONT -1; rm -f /run/mk-ci-state-files\n';

/**
 * Puts the archive in place of what a new machine has, before runtime and kubelet are started in the same call. What both have below `/var` is
 * written over and keeps its inode: ext4 looks for a free inode one by one among those that were freed in the last seconds, which took longer
 * than all the rest. A name that the list shows in other words, such as one with a line break, goes and comes back.
 */
export const PUT_STATE = [
  WAIT_FOR_SYSTEMD.trim(),
  // It prepares the image's own store at boot; what it makes is replaced.
  'systemctl start mk-ci-store.service 2>/dev/null || true',
  `touch ${NODE_MARKER}`,
  'if mountpoint -q /var; then',
  '  export LC_ALL=C',
  `  tar -tf ${ARCHIVE} --absolute-names --quoting-style=literal | sort >${KEPT}`,
  `  without() { sort | comm -23 - ${KEPT} | sort -r | tr '\\n' '\\0' | xargs -0 -r "$@"; }`,
  `  find /var -xdev -mindepth 1 \\( -path /var/log -o -path /var/lib/mk-ci \\) -prune -o ! -type d -print | without rm -f`,
  '  find /var/lib -xdev -mindepth 1 -type d ! -path "/var/lib/mk-ci*" -printf "%p/\\n" | without rmdir 2>/dev/null || true',
  `  rm -f ${KEPT}`,
  'fi',
  // Outside of it programs run already, which can not be written over.
  `take() { tar -C / -xpSf ${ARCHIVE} --xattrs --xattrs-include='*' --numeric-owner --absolute-names "$@"; }`,
  `take --anchored --exclude='/var' --exclude='/var/*'`,
  'take --overwrite /var',
  `rm -f ${ARCHIVE}`,
  '',
].join('\n');

/** Archive of a node in a folder with those of all nodes of a cluster. */
const archiveOf = (folder: string, node: string): string => join(folder, `${node}.tar`);

/** Writes `<node>.tar` for each node into a folder, which is made. The nodes stand still for some tenths of a second. */
export async function saveNodes(nodes: readonly ClusterNode[], folder: string, work: NodeWork): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    await allOf(
      nodes.map(async ({ machine }) => {
        try {
          await runScript(machine, SAVE_STATE, work);
        } catch (error) {
          await goOn(machine);
          throw error;
        }
      }),
    );
    await allOf(
      nodes.map(({ machine, record }) => machine.copyFrom(ARCHIVE, archiveOf(folder, record.node), work.signal)),
    );
  } finally {
    await Promise.allSettled(nodes.map(({ machine }) => machine.exec(['rm', '-f', ARCHIVE], { timeoutMs: 20_000 })));
  }
}

async function goOn(machine: Machine): Promise<void> {
  await machine.exec(['sh'], { input: CONTINUE_NODE, allowFailure: true, timeoutMs: 20_000 });
}

/** Gives a new machine the archive of a node, which {@link PUT_STATE} unpacks, and asks meanwhile what that machine is. */
export async function giveState(node: ClusterNode, folder: string, work: NodeWork): Promise<KnownNode> {
  const { machine, record } = node;
  const copied = machine.copyTo(archiveOf(folder, record.node), ARCHIVE, work.signal);
  const asked = askFacts(machine, work);
  await allOf<unknown>([copied, asked]);
  return { ...node, facts: await asked };
}
