import { hasCapability, parseCapabilitySet } from '../../../../drivers/container/host-facts.js';

/** What a node is like inside, asked of the node itself: it decides about settings of kubelet and runtime. */
export interface NodeFacts {
  /** Type of the file system at `/sys/fs/cgroup` is `cgroup2`. */
  readonly cgroups: 'v1' | 'v2';
  /**
   * The capability by which processes may lower their `oom_score_adj` and raise limits. In the namespace of users of a
   * rootless engine every capability is there, and the kernel does not count this one.
   */
  readonly hasSysResource: boolean;
  /** `oom_score_adj` of what systemd starts. */
  readonly oomScoreAdj: number;
  /** It shares the kernel of a host, which keeps what its processes wrote when they are killed. */
  readonly isContainer: boolean;
  /** Its processors are translated by software: a virtual machine without help of the host's processor. */
  readonly isTranslated: boolean;
  /** Paths of programs that were found. */
  readonly programs: Readonly<Record<string, string>>;
  /** Major version; 0 when it is not there. */
  readonly containerdMajor: number;
  /** Archive of images that the runtime does not have yet. */
  readonly imageArchive: string | undefined;
  readonly pauseImage: string;
  /** Name servers of the node that a pod can reach: none on the loopback. */
  readonly nameservers: readonly string[];
  readonly gateway: string | undefined;
}

const PROGRAMS = [
  'kubeadm',
  'kubelet',
  'kubectl',
  'containerd',
  'dockerd',
  'cri-dockerd',
  'crio',
  'runc',
  'socat',
  'conntrack',
  'curl',
];

/** Of `/proc/self/uid_map` where there is no namespace of users. */
const ALL_USER_IDS = '0 0 4294967295';

/** Prints what {@link parseNodeFacts} reads: one `key value` a line. */
export const NODE_FACTS_SCRIPT = [
  'echo "cgroups $(stat -fc %T /sys/fs/cgroup)"',
  'echo "bounding $(grep CapBnd /proc/self/status)"',
  'echo "userids $(tr -s " " </proc/self/uid_map | tr "\\n" " ")"',
  'echo "oom $(cat /proc/1/oom_score_adj)"',
  'systemd-detect-virt --quiet --container && echo "kernel shared"',
  'grep -q "QEMU TCG" /proc/cpuinfo && echo "processor translated"',
  `for p in ${PROGRAMS.join(' ')}; do w=$(command -v "$p") && echo "program $p $w"; done`,
  'echo "containerd $(containerd --version 2>/dev/null)"',
  '[ -e /opt/mk-ci/images.tar ] && echo "archive /opt/mk-ci/images.tar"',
  'echo "pause $(tr -d "\\n" </etc/mk-ci/node-image.json 2>/dev/null)"',
  'sed -n "s/^nameserver /nameserver /p" /etc/resolv.conf',
  'echo "gateway $(ip -4 route show default | sed -n "s/.* via \\([0-9.]*\\).*/\\1/p" | head -1)"',
  'true',
].join('\n');

export const DEFAULT_PAUSE_IMAGE = 'registry.k8s.io/pause:3.10.2';

export function parseNodeFacts(text: string): NodeFacts {
  const rows = text.split('\n').map((line) => /^(\S+) (.*)$/.exec(line));
  const all = (key: string): string[] => rows.flatMap((row) => (row?.[1] === key ? [row[2]?.trim() ?? ''] : []));
  const one = (key: string): string => all(key)[0] ?? '';
  const pause = /"pauseImage":\s*"([^"]+)"/.exec(one('pause'))?.[1];
  return {
    cgroups: one('cgroups').startsWith('cgroup2') ? 'v2' : 'v1',
    hasSysResource:
      one('userids') === ALL_USER_IDS && hasCapability(parseCapabilitySet(one('bounding'), 'CapBnd'), 'SYS_RESOURCE'),
    oomScoreAdj: Number(one('oom')),
    isContainer: one('kernel') === 'shared',
    isTranslated: one('processor') === 'translated',
    programs: Object.fromEntries(all('program').map((row) => row.split(' ').slice(0, 2))) as Record<string, string>,
    containerdMajor: Number(/ v?(\d+)\.\d+\.\d+/.exec(one('containerd'))?.[1] ?? 0),
    imageArchive: all('archive')[0],
    pauseImage: pause ?? DEFAULT_PAUSE_IMAGE,
    nameservers: all('nameserver').filter((address) => !/^(127\.|::1)/.test(address)),
    gateway: one('gateway') || undefined,
  };
}
