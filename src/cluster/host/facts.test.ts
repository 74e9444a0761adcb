import { describe, expect, it } from 'vitest';

import { MkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import {
  parseMemoryLimit,
  parseMeminfo,
  parseOpenFiles,
  parseVersion,
  readHostFacts,
  type HostFacts,
} from './facts.js';
import { judgeHost } from './judge-host.js';

const noPrograms: Exec = async ([program]) => {
  throw new MkCiError('HOST_MISSING_TOOL', { message: program });
};
const signal = new AbortController().signal;

describe('readHostFacts', () => {
  it('reads memory, limits and inotify from /proc and the control group', async () => {
    const files: Record<string, string> = {
      '/proc/meminfo': 'MemTotal:       25165824 kB\nMemFree:         1 kB\nMemAvailable:    8388608 kB\n',
      '/sys/fs/cgroup/memory.max': '4294967296\n',
      '/proc/self/limits':
        'Limit                     Soft Limit           Hard Limit           Units     \n' +
        'Max open files            1024                 20000                files     \n',
      '/proc/sys/fs/inotify/max_user_instances': '128\n',
      '/proc/sys/fs/inotify/max_user_watches': '65536\n',
    };
    const facts = await readHostFacts({
      exec: noPrograms,
      folders: { state: '/absent/deep' },
      signal,
      read: (p) => files[p],
    });
    expect(facts).toMatchObject({
      memoryBytes: 4 * 2 ** 30,
      memoryAvailableBytes: 4 * 2 ** 30,
      openFiles: { soft: 1024, hard: 20_000 },
      inotify: { instances: 128, watches: 65_536 },
    });
    // A folder that will be made is measured where its first existing parent is.
    expect(facts.disks[0]).toMatchObject({ purpose: 'state', path: '/absent/deep' });
    expect(facts.disks[0]!.freeBytes).toBeGreaterThan(0);
    expect(facts.go).toBeUndefined();
  });

  it('leaves out what the host does not tell', async () => {
    const facts = await readHostFacts({ exec: noPrograms, folders: {}, signal, read: () => undefined });
    expect(facts.memoryBytes).toBeGreaterThan(0);
    expect(Object.keys(facts)).not.toContain('openFiles');
    expect(Object.keys(facts)).not.toContain('inotify');
  });

  it('reads odd values', () => {
    expect(parseMemoryLimit('max\n')).toBeUndefined();
    expect(parseMemoryLimit('9223372036854771712')).toBeUndefined();
    expect(parseMemoryLimit('')).toBeUndefined();
    expect(parseMeminfo('')).toEqual({});
    expect(parseOpenFiles('Max open files            unlimited            unlimited            files')).toEqual({
      soft: Infinity,
      hard: Infinity,
    });
    expect(parseOpenFiles('nonsense')).toBeUndefined();
    expect(parseVersion('go version go1.26.8 linux/amd64')).toBe('1.26.8');
    expect(parseVersion('setpriv from util-linux 2.38.1')).toBe('2.38.1');
    expect(parseVersion('devel')).toBe('devel');
  });
});

describe('judgeHost', () => {
  const good: HostFacts = {
    platform: 'linux',
    architecture: 'x64',
    nodeVersion: '20.20.0',
    cpus: 4,
    memoryBytes: 16 * 2 ** 30,
    openFiles: { soft: 65_536, hard: 65_536 },
    inotify: { instances: 1024, watches: 524_288 },
    disks: [{ purpose: 'cache', path: '/c', freeBytes: 50 * 2 ** 30 }],
  };

  it('finds nothing wrong with an ordinary host', () => {
    expect(judgeHost(good)).toEqual([]);
  });

  it('names every shortage with its remedy', () => {
    const poor: HostFacts = {
      ...good,
      memoryAvailableBytes: 2 ** 30,
      openFiles: { soft: 1024, hard: 1024 },
      inotify: { instances: 128, watches: 8192 },
      disks: [{ purpose: 'cache', path: '/c', freeBytes: 2 ** 30 }],
    };
    expect(judgeHost(poor).map((problem) => problem.reason)).toEqual([
      'HOST_LOW_MEMORY',
      'HOST_LOW_OPEN_FILES',
      'HOST_LOW_INOTIFY',
      'HOST_LOW_DISK',
    ]);
    expect(judgeHost(poor)[1]!.fix).toContain('hard limit');
    expect(judgeHost({ ...good, openFiles: { soft: 1024, hard: 20_000 } })[0]!.fix).toContain('ulimit -n 20000');
  });
});
