import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { DriverInfo, Machine } from '../../../../drivers/driver.js';
import { hostErrorOf, messageOf } from '../../../../errors.js';

const FOLDER = '/run/mk-ci-logs';

/** Gathers logs in the layout of `kind export logs`: `journal.log`, `kubelet.log`, `<runtime>.log`, `pods/`, `containers/`. */
const GATHER = [
  `rm -rf ${FOLDER}; mkdir -p ${FOLDER}/containers; cd ${FOLDER}`,
  // Reading the journal takes a translated machine seconds each time: all at once.
  'journalctl --no-pager >journal.log 2>&1 &',
  'for u in kubelet containerd docker cri-dockerd crio; do systemctl cat $u >/dev/null 2>&1 && { journalctl --no-pager -u $u >$u.log 2>&1 & }; done',
  'cp -rL /var/log/pods pods 2>/dev/null; cp /var/log/kubeadm.log . 2>/dev/null',
  // These are other names of the same files: they are not sent twice.
  'for f in /var/log/containers/*.log; do t=$(readlink "$f"); ln "pods/${t#/var/log/pods/}" "containers/${f##*/}" 2>/dev/null || cp -L "$f" containers 2>/dev/null; done',
  'kubelet --version >kubernetes-version.txt 2>&1',
  'ctr -n k8s.io images list >images.log 2>/dev/null',
  '{ ip address; ip route; iptables-save; } >network.txt 2>&1',
  'wait; cp /etc/kubernetes/manifests/*.yaml . 2>/dev/null; true',
].join('\n');

/** A virtual machine may be translated by software, on a host with other work. */
export function nodeLogsLimitMs({ startMs }: Pick<DriverInfo, 'startMs'>): number {
  return startMs === undefined ? 60_000 : 240_000;
}

/** Copies the logs of one node. What can not be had is said in `missing.txt`; @throws only for the folder of this host */
export async function saveNodeLogs(
  machine: Machine,
  folder: string,
  { limitMs, signal }: { readonly limitMs: number; readonly signal: AbortSignal },
): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
      await machine.exec(['sh'], { input: GATHER, signal: limit });
      await machine.copyFrom(FOLDER, folder, limit);
      await machine.exec(['rm', '-rf', FOLDER], { signal: limit });
    } catch (error) {
      signal.throwIfAborted();
      await writeFile(join(folder, 'missing.txt'), `${messageOf(error)}\n`);
    }
  } catch (error) {
    throw hostErrorOf(error, folder) ?? error;
  }
}
