import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { dirname } from 'node:path';

import { systemErrorCode } from '../../errors.js';
import type { Exec } from '../../exec.js';

/** What this host offers. A member is absent where the host does not tell. */
export interface HostFacts {
  readonly platform: string;
  readonly architecture: string;
  readonly nodeVersion: string;
  readonly cpus: number;
  /** Of the host, or of the control group where that is less. */
  readonly memoryBytes: number;
  /** What new programs can take without others being swapped out. */
  readonly memoryAvailableBytes?: number;
  readonly openFiles?: { readonly soft: number; readonly hard: number };
  readonly inotify?: { readonly instances: number; readonly watches: number };
  readonly disks: readonly DiskFact[];
  /** Version, such as `1.26.8`; absent when the program is not there. */
  readonly go?: string;
  readonly setpriv?: string;
}

export interface DiskFact {
  /** `cache` or `state`. */
  readonly purpose: string;
  readonly path: string;
  readonly freeBytes: number;
}

export interface HostFactsOptions {
  readonly exec: Exec;
  readonly folders: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Reads a file of `/proc` or `/sys`; `undefined` when it is not there. @default the real ones */
  readonly read?: (path: string) => string | undefined;
}

/** Reads; changes nothing. Programs that do not answer within five seconds count as absent. */
export async function readHostFacts({
  exec,
  folders,
  signal,
  read = readSmallFile,
}: HostFactsOptions): Promise<HostFacts> {
  const ask = async (program: string, args: readonly string[]): Promise<string | undefined> => {
    try {
      const { exitCode, stdout } = await exec([program, ...args], { allowFailure: true, timeoutMs: 5000, signal });
      return exitCode === 0 ? parseVersion(stdout) : undefined;
    } catch {
      signal.throwIfAborted();
      return undefined; // not installed
    }
  };
  const [go, setpriv, disks] = await Promise.all([
    ask('go', ['version']),
    ask('setpriv', ['--version']),
    Promise.all(Object.entries(folders).map(([purpose, path]) => readDisk(purpose, path))),
  ]);
  const memory = parseMeminfo(read('/proc/meminfo') ?? '');
  const limit = parseMemoryLimit(
    read('/sys/fs/cgroup/memory.max') ?? read('/sys/fs/cgroup/memory/memory.limit_in_bytes') ?? '',
  );
  const openFiles = parseOpenFiles(read('/proc/self/limits') ?? '');
  const instances = Number(read('/proc/sys/fs/inotify/max_user_instances'));
  const watches = Number(read('/proc/sys/fs/inotify/max_user_watches'));
  return {
    platform: process.platform,
    architecture: process.arch,
    nodeVersion: process.versions.node,
    cpus: availableParallelism(),
    memoryBytes: Math.min(memory.totalBytes ?? totalmem(), limit ?? Infinity),
    ...(memory.availableBytes === undefined
      ? {}
      : { memoryAvailableBytes: Math.min(memory.availableBytes, limit ?? Infinity) }),
    ...(openFiles === undefined ? {} : { openFiles }),
    ...(Number.isFinite(instances) && Number.isFinite(watches) ? { inotify: { instances, watches } } : {}),
    disks: disks.filter((disk) => disk !== undefined),
    ...(go === undefined ? {} : { go }),
    ...(setpriv === undefined ? {} : { setpriv }),
  };
}

/** `MemTotal` and `MemAvailable` of `/proc/meminfo`, which counts in units of 1024 bytes. */
export function parseMeminfo(text: string): { readonly totalBytes?: number; readonly availableBytes?: number } {
  const valueOf = (key: string): number | undefined => {
    const match = new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(text);
    return match === null ? undefined : Number(match[1]) * 1024;
  };
  const totalBytes = valueOf('MemTotal');
  const availableBytes = valueOf('MemAvailable');
  return {
    ...(totalBytes === undefined ? {} : { totalBytes }),
    ...(availableBytes === undefined ? {} : { availableBytes }),
  };
}

/** Limit of a control group, of version 1 or 2; `undefined` for `max` and for the huge number that stands for none. */
export function parseMemoryLimit(text: string): number | undefined {
  const bytes = /^\d+$/.test(text.trim()) ? Number(text) : NaN;
  return Number.isFinite(bytes) && bytes < 2 ** 60 ? bytes : undefined;
}

/** Row `Max open files` of `/proc/<pid>/limits`; `unlimited` is Infinity. */
export function parseOpenFiles(text: string): { readonly soft: number; readonly hard: number } | undefined {
  const match = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)\s/m.exec(text);
  if (match === null) return undefined;
  const [soft, hard] = [match[1], match[2]].map((word) => (word === 'unlimited' ? Infinity : Number(word)));
  return { soft: soft ?? 0, hard: hard ?? 0 };
}

/** The first thing that looks like a version in what a program prints; its first line when there is none. */
export function parseVersion(text: string): string {
  return /\d+\.\d+(?:\.\d+)?/.exec(text)?.[0] ?? text.split('\n')[0] ?? '';
}

/** Free space for this user where the folder is, or will be made. */
async function readDisk(purpose: string, path: string): Promise<DiskFact | undefined> {
  for (let at = path; ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return { purpose, path, freeBytes: bavail * bsize };
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' || dirname(at) === at) return undefined;
    }
  }
}

function readSmallFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
