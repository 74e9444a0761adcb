import { isIPv4 } from 'node:net';

import { cidrsOverlap } from '../container/index.js';
import type { Architecture, DriverHealth, DriverProblem } from '../driver.js';
import type { Footprint } from './footprint.js';
import { HOST_FOLDER } from './footprint.js';
import { CLAIM_FILE, parseClaim, type Claim } from './claim.js';

/** What a given host is and has, asked of it in one call. */
export interface GivenHostFacts {
  readonly architecture: string;
  readonly hasSystemd: boolean;
  readonly cgroups: 'v1' | 'v2' | 'none';
  readonly os: string;
  readonly kernel: string;
  readonly bootId: string;
  readonly address: string;
  readonly freeMiB: number;
  readonly memoryMiB: number;
  readonly swapMiB: number;
  /** Subnets that it has a way to, the default one left out. */
  readonly routes: readonly string[];
  readonly missingTools: readonly string[];
  /** Signs that somebody else uses it. */
  readonly uses: readonly string[];
  /** Our folder is there: it is taken, by the claim if that can be read. */
  readonly isClaimed: boolean;
  readonly claim: Claim | undefined;
}

/** Without these a node can not be set up or the host not be put back. */
const TOOLS = [
  ...['systemctl', 'iptables', 'iptables-save', 'iptables-restore', 'ip', 'mount', 'umount', 'runc'],
  ...['tar', 'base64', 'awk', 'sed', 'grep', 'find', 'stat', 'tr', 'sort', 'sysctl'],
];

/** Unpacked programs and images beside the archives that are brought. */
const FREE_MIB = 3072;
const MEMORY_MIB = 1700;

export function renderFactsScript({ conflicts, ports }: Pick<Footprint, 'conflicts' | 'ports'>): string {
  const hex = ports.map((port) => `${port.toString(16).toUpperCase().padStart(4, '0')}=${port}`);
  return [
    'echo "arch $(uname -m)"',
    '[ -d /run/systemd/system ] && echo "systemd yes"',
    'echo "cgroups $(stat -fc %T /sys/fs/cgroup 2>/dev/null)"',
    'echo "os $(. /etc/os-release 2>/dev/null; echo "$PRETTY_NAME")"',
    'echo "kernel $(uname -r)"',
    'echo "boot $(cat /proc/sys/kernel/random/boot_id) $(stat -c %Y /proc/1)"',
    `for t in ${TOOLS.join(' ')}; do command -v $t >/dev/null || echo "missing $t"; done`,
    'echo "address $(ip -4 route get 192.0.2.1 2>/dev/null | sed -n "s/.* src \\([0-9.]*\\).*/\\1/p" | head -1)"',
    'echo "anyaddress $(ip -4 -o address show scope global 2>/dev/null | sed -n "s#.* inet \\([0-9.]*\\)/.*#\\1#p" | head -1)"',
    'echo "free $(df -Pk /var/lib | awk "NR==2 { print \\$4 }")"',
    'echo "memory $(sed -n "s/^MemTotal: *//p" /proc/meminfo)"',
    'echo "swap $(sed -n "s/^SwapTotal: *//p" /proc/meminfo)"',
    `ip -4 route show 2>/dev/null | awk '{ r = $1 ~ /^[0-9]/ ? $1 : $2 } r ~ /^[0-9.]+(\\/[0-9]+)?$/ { print "route", r }'`,
    `if [ -e ${HOST_FOLDER} ]; then echo "claimed yes"; echo "claim $(base64 <${CLAIM_FILE} 2>/dev/null | tr -d "\\n")"; fi`,
    `for u in ${conflicts.units.join(' ')}; do systemctl is-active --quiet $u 2>/dev/null && echo "use $u runs"; done`,
    `for p in ${conflicts.paths.join(' ')}; do [ -e $p ] && echo "use $p is there"; done`,
    `for h in ${hex.join(' ')}; do cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v h=":\${h%=*}\\$" '$2 ~ h && $4 == "0A" { f = 1 } END { exit !f }' && echo "use port \${h#*=} is taken"; done`,
    'true',
    '',
  ].join('\n');
}

/** What a host says is shown to people and kept: it is text of one line without anything for a terminal. */
export function parseFacts(text: string): GivenHostFacts {
  const said = text.replace(/[^\P{Cc}\n]/gu, '');
  const rows = said.split('\n').map((line) => /^(\S+) (.*)$/.exec(line));
  const all = (key: string): string[] => rows.flatMap((row) => (row?.[1] === key ? [row[2]?.trim() ?? ''] : []));
  const one = (key: string): string => all(key)[0] ?? '';
  const cgroups = one('cgroups');
  return {
    architecture: one('arch'),
    hasSystemd: one('systemd') === 'yes',
    cgroups: cgroups.startsWith('cgroup2') ? 'v2' : cgroups === 'tmpfs' ? 'v1' : 'none',
    os: one('os'),
    kernel: one('kernel'),
    bootId: one('boot'),
    address: [one('address'), one('anyaddress')].find((address) => isIPv4(address)) ?? '',
    freeMiB: Math.floor(Number(one('free')) / 1024) || 0,
    memoryMiB: Math.floor(Number.parseInt(one('memory'), 10) / 1024) || 0,
    swapMiB: Math.floor(Number.parseInt(one('swap'), 10) / 1024) || 0,
    routes: all('route').map((route) => (route.includes('/') ? route : `${route}/32`)),
    missingTools: all('missing'),
    uses: all('use'),
    isClaimed: one('claimed') === 'yes',
    claim: parseClaim(Buffer.from(one('claim'), 'base64').toString('utf8')),
  };
}

const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  x86_64: 'amd64',
  amd64: 'amd64',
  aarch64: 'arm64',
  arm64: 'arm64',
};

/**
 * Can a node be set up there? One that is taken by mk-ci is judged when it is asked for by name: it may be the same.
 *
 * @param where name of the host, for people
 * @param subnets that the machine will use itself
 */
export function judgeHost(
  facts: GivenHostFacts,
  where: string,
  wanted: Architecture,
  subnets: readonly string[] = [],
): DriverHealth {
  const stops: DriverProblem[] = [];
  const limits: DriverProblem[] = [];
  const stop = (reason: string, message: string, fix: string): void => {
    stops.push({ reason, message, fix });
  };
  const architecture = ARCHITECTURES[facts.architecture];
  if (architecture !== wanted) {
    stop(
      'DRV_HOST_ARCHITECTURE',
      `${where} is ${facts.architecture || 'of an unknown architecture'}, and programs are here for ${wanted}`,
      'Use a host of the same architecture as this one.',
    );
  }
  if (!facts.hasSystemd) {
    stop('DRV_HOST_SYSTEMD', `${where} is not run by systemd`, 'Use a host that was booted with systemd.');
  }
  if (facts.cgroups === 'none') {
    stop('DRV_HOST_CGROUPS', `${where} has no cgroups on /sys/fs/cgroup`, 'Mount them there.');
  }
  if (facts.missingTools.length > 0) {
    stop(
      'DRV_HOST_TOOLS',
      `${where} has no ${facts.missingTools.join(', ')}`,
      'Install them (Debian: apt-get install iptables iproute2 procps runc).',
    );
  }
  if (facts.claim === undefined && !facts.isClaimed) {
    if (facts.uses.length > 0) {
      stop(
        'DRV_HOST_IN_USE',
        `${where}: ${facts.uses.join(', ')}`,
        'Stop what runs there, or take another host: a node brings a container runtime and a kubelet of its own.',
      );
    }
    for (const subnet of subnets) {
      const taken = facts.routes.filter((route) => cidrsOverlap(route, subnet));
      if (taken.length === 0) continue;
      stop(
        'DRV_HOST_IN_USE',
        `${where} has a way to ${taken.join(', ')}, which overlaps with ${subnet} of the cluster`,
        'Give other subnets in options.podSubnet and options.serviceSubnet.',
      );
    }
    if (facts.freeMiB < FREE_MIB) {
      stop(
        'HOST_DISK_FULL',
        `${where} has ${facts.freeMiB} MiB free for /var/lib`,
        `Free at least ${FREE_MIB} MiB there.`,
      );
    }
  }
  if (facts.memoryMiB > 0 && facts.memoryMiB < MEMORY_MIB) {
    limits.push({
      reason: 'DRV_HOST_MEMORY',
      message: `${where} has ${facts.memoryMiB} MiB of memory`,
      fix: `Use a host with at least ${MEMORY_MIB} MiB.`,
    });
  }
  if (facts.swapMiB > 0) {
    limits.push({
      reason: 'DRV_HOST_SWAP',
      message: `${where} has ${facts.swapMiB} MiB of swap, which makes times of tests vary`,
      fix: 'Turn it off with swapoff -a where that matters; the kubelet runs with it.',
    });
  }
  return {
    usable: stops.length === 0,
    problems: [...stops, ...limits],
    facts: {
      host: where,
      system: facts.os,
      kernel: facts.kernel,
      cgroups: facts.cgroups,
      freeMiB: String(facts.freeMiB),
      ...(facts.claim === undefined ? {} : { claimedBy: facts.claim.name }),
    },
  };
}
