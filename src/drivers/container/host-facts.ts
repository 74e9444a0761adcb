import { existsSync, readFileSync } from 'node:fs';

import { isSystemProgram } from '../system-programs.js';

/** What this host allows a container to be given. */
export interface ContainerHostFacts {
  /** Bit n is capability n, from `CapBnd` in `/proc/self/status`. */
  readonly boundingSet: bigint;
  /** Number of the highest capability the kernel knows. */
  readonly lastCapability: number;
  /** `hybrid`: version 1 with an empty version 2 beside it, as systemd sets it up. */
  readonly cgroups: 'v1' | 'v2' | 'hybrid' | 'unknown';
  /** Hard limits; Infinity for none. */
  readonly openFiles: number;
  readonly processes: number;
  readonly hasKmsg: boolean;
  readonly hasModules: boolean;
  /** Subnets that must not be used for a network, from the routes of the host. */
  readonly routes: readonly string[];
  /** Which of {@link NETWORK_PLUGINS} lie where Podman looks for them. */
  readonly networkPlugins: readonly string[];
  /** Which of iptables and nft can be called. */
  readonly firewallPrograms: readonly string[];
}

/** Plugins of CNI with which Podman makes networks of the kind `bridge`. */
export const NETWORK_PLUGINS = ['bridge', 'firewall', 'host-local', 'portmap', 'tuning'] as const;
/** @see {@link https://github.com/containers/common/blob/main/docs/containers.conf.5.md#network-table} `cni_plugin_dirs` */
const PLUGIN_FOLDERS = [
  '/usr/local/libexec/cni',
  '/usr/libexec/cni',
  '/usr/local/lib/cni',
  '/usr/lib/cni',
  '/opt/cni/bin',
] as const;

/** Reads a file, or `undefined` when it is not there. */
export type ReadText = (path: string) => string | undefined;

/** Capabilities by their number. @see {@link https://github.com/torvalds/linux/blob/master/include/uapi/linux/capability.h} */
export const CAPABILITIES = [
  ...['CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP'],
  ...['LINUX_IMMUTABLE', 'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW', 'IPC_LOCK', 'IPC_OWNER'],
  ...['SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE'],
  ...['SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD', 'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP'],
  ...['MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF'],
  'CHECKPOINT_RESTORE',
] as const;

export function readContainerHostFacts(
  read: ReadText = readSmallFile,
  isThere: (path: string) => boolean = existsSync,
): ContainerHostFacts {
  const limits = read('/proc/self/limits') ?? '';
  return {
    boundingSet: parseCapabilitySet(read('/proc/self/status') ?? '', 'CapBnd'),
    lastCapability: Number(read('/proc/sys/kernel/cap_last_cap') ?? CAPABILITIES.length - 1),
    cgroups: parseCgroups(read('/proc/self/mounts') ?? ''),
    openFiles: parseHardLimit(limits, 'Max open files'),
    processes: parseHardLimit(limits, 'Max processes'),
    hasKmsg: isThere('/dev/kmsg'),
    hasModules: isThere('/lib/modules'),
    routes: parseRoutes(read('/proc/net/route') ?? ''),
    networkPlugins: NETWORK_PLUGINS.filter((name) => PLUGIN_FOLDERS.some((folder) => isThere(`${folder}/${name}`))),
    firewallPrograms: ['iptables', 'nft'].filter((name) => isSystemProgram(name, isThere)),
  };
}

/** A capability set of `/proc/<pid>/status`; empty when the line is not there. */
export function parseCapabilitySet(status: string, key: string): bigint {
  const match = new RegExp(`^${key}:\\s*([0-9a-f]+)$`, 'm').exec(status);
  return match?.[1] === undefined ? 0n : BigInt(`0x${match[1]}`);
}

export function hasCapability(set: bigint, name: (typeof CAPABILITIES)[number]): boolean {
  return ((set >> BigInt(CAPABILITIES.indexOf(name))) & 1n) === 1n;
}

/** True when no capability of this kernel is missing. */
export function isFullSet({
  boundingSet,
  lastCapability,
}: Pick<ContainerHostFacts, 'boundingSet' | 'lastCapability'>): boolean {
  const full = (1n << BigInt(lastCapability + 1)) - 1n;
  return (boundingSet & full) === full;
}

/** Version of the cgroup trees from a table of mounts, `/proc/self/mounts`. */
export function parseCgroups(mounts: string): ContainerHostFacts['cgroups'] {
  const rows = mounts.split('\n').map((line) => line.split(' '));
  const at = (path: string): string | undefined => rows.findLast((row) => row[1] === path)?.[2];
  if (at('/sys/fs/cgroup') === 'cgroup2') return 'v2';
  if (!rows.some((row) => row[2] === 'cgroup')) return 'unknown';
  return rows.some((row) => row[2] === 'cgroup2') ? 'hybrid' : 'v1';
}

/** The hard limit of a row of `/proc/<pid>/limits`; Infinity for `unlimited` and when there is no such row. */
export function parseHardLimit(limits: string, row: string): number {
  const match = new RegExp(`^${row}\\s+\\S+\\s+(\\d+|unlimited)\\s`, 'm').exec(limits);
  return match?.[1] === undefined || match[1] === 'unlimited' ? Infinity : Number(match[1]);
}

/** Destinations of `/proc/net/route` as `a.b.c.d/n`, without the default route. Its numbers are little-endian hexadecimal. */
export function parseRoutes(table: string): string[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      const [destination, mask] = [fields[1], fields[7]];
      if (destination === undefined || mask === undefined || Number.parseInt(mask, 16) === 0) return [];
      const bytes =
        destination
          .match(/../g)
          ?.map((byte) => Number.parseInt(byte, 16))
          .reverse() ?? [];
      const bits = Number.parseInt(mask, 16).toString(2).replaceAll('0', '').length;
      return bytes.length === 4 ? [`${bytes.join('.')}/${bits}`] : [];
    });
}

function readSmallFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // another system, or hidden
  }
}
