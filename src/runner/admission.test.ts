import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { admit, clusterLoad, limitsOf, type Candidate, type Limits } from './admission.js';
import { schedule } from './schedule.js';

const cell = (id: string, more: Partial<Candidate> = {}): Candidate => ({
  id,
  load: { cpus: 1, memoryMiB: 500 },
  exclusive: [],
  cluster: { key: 'shared a', load: { cpus: 0.5, memoryMiB: 700 } },
  ...more,
});
const limits: Limits = { cpus: 4, memoryMiB: 4000, jobs: 10 };
const idle = { limits, running: [], clusters: new Map() };
const ids = (cells: readonly Candidate[]): string[] => cells.map(({ id }) => id);

describe('admission', () => {
  it('starts what fits, counting a shared cluster once', () => {
    expect(
      ids(
        admit(
          idle,
          ['a', 'b', 'c', 'd'].map((id) => cell(id)),
        ),
      ),
    ).toEqual(['a', 'b', 'c']);
  });

  it('counts a cluster of its own for each cell that wants a fresh one', () => {
    const fresh = (id: string): Candidate => cell(id, { cluster: { key: id, load: { cpus: 0, memoryMiB: 1500 } } });
    expect(ids(admit(idle, ['a', 'b', 'c'].map(fresh)))).toEqual(['a', 'b']);
  });

  it('never runs two cells with the same exclusive word', () => {
    const cells = [
      cell('a', { exclusive: ['x'] }),
      cell('b', { exclusive: ['y', 'x'] }),
      cell('c', { exclusive: ['y'] }),
    ];
    expect(ids(admit(idle, cells))).toEqual(['a', 'c']);
  });

  it('lets small cells pass a large one that does not fit', () => {
    const large = cell('large', { load: { cpus: 1, memoryMiB: 3000 } });
    const state = { ...idle, running: [cell('r')], clusters: new Map([['shared a', { cpus: 0.5, memoryMiB: 700 }]]) };
    expect(ids(admit(state, [large, cell('small')]))).toEqual(['small']);
  });

  it('starts the first cell on an idle host even when it is too large', () => {
    expect(ids(admit(idle, [cell('huge', { load: { cpus: 99, memoryMiB: 1e6 } }), cell('b')]))).toEqual(['huge']);
  });

  it('replaces the limit by processors with an explicit number of jobs, not the one by memory', () => {
    expect(limitsOf({ cpus: 2, memoryMiB: 10_000 }, 7)).toEqual({ cpus: Infinity, memoryMiB: 8000, jobs: 7 });
    expect(limitsOf({ cpus: 2, memoryMiB: 10_000 }, undefined)).toEqual({ cpus: 4, memoryMiB: 8000, jobs: 4 });
  });
});

describe('clusterLoad', () => {
  it('counts instances of inotify of what shares the kernel with this host', () => {
    expect(clusterLoad({ bootstrap: 'processes' }, 0).inotify).toBe(12);
    expect(clusterLoad({ bootstrap: 'kubeadm', sharesKernel: true }, 1)).toEqual({
      cpus: 1,
      memoryMiB: 2048,
      inotify: 30,
    });
    expect(clusterLoad({ bootstrap: 'kubeadm', sharesKernel: true }, 3).inotify).toBe(62);
    expect(clusterLoad({ bootstrap: 'kubeadm' }, 3)).toEqual({ cpus: 3, memoryMiB: 6144 });
  });

  it('lets as many clusters run at a time as the kernel has instances for', () => {
    const load = clusterLoad({ bootstrap: 'kubeadm', sharesKernel: true }, 1);
    const cells = ['a', 'b', 'c', 'd', 'e', 'f'].map((id) => cell(id, { cluster: { key: id, load } }));
    const host = { cpus: 64, memoryMiB: 200_000 };
    const admitted = (inotify?: number): number =>
      admit({ ...idle, limits: limitsOf({ ...host, inotify }, undefined) }, cells).length;
    expect(admitted(128)).toBe(4);
    expect(admitted(0)).toBe(1);
    expect(admitted()).toBe(6);
  });
});

describe('schedule', () => {
  const arbitraryCell = fc.record({
    load: fc.record({ cpus: fc.nat({ max: 6 }), memoryMiB: fc.nat({ max: 5000 }) }),
    exclusive: fc.subarray(['x', 'y', 'z']),
    cluster: fc.constantFrom('a', 'b', 'c').map((key) => ({ key, load: { cpus: 1, memoryMiB: 900 } })),
  });

  it('runs every cell exactly once whatever they need, and releases each cluster once, after its last cell', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(arbitraryCell, { maxLength: 12 }),
        fc.integer({ min: 1, max: 4 }),
        async (list, jobs) => {
          const cells = list.map((item, index): Candidate => ({ id: `c${index}`, ...item }));
          const ran: string[] = [];
          const released: string[] = [];
          const running = new Set<Candidate>();
          await schedule(cells, {
            limits: { ...limits, jobs },
            signal: new AbortController().signal,
            run: async (item) => {
              for (const other of running) {
                expect(other.exclusive.some((word) => item.exclusive.includes(word))).toBe(false);
              }
              running.add(item);
              expect(running.size).toBeLessThanOrEqual(jobs);
              expect(released).not.toContain(item.cluster.key);
              await new Promise((resolve) => setImmediate(resolve));
              running.delete(item);
              ran.push(item.id);
            },
            onClusterUnused: async (item) => {
              released.push(item.cluster.key);
            },
          });
          expect(ran.sort()).toEqual(ids(cells).sort());
          expect(released.sort()).toEqual([...new Set(cells.map(({ cluster }) => cluster.key))].sort());
        },
      ),
      { numRuns: 100 },
    );
  });

  it('starts nothing new after an interrupt or a failure, and waits for what runs', async () => {
    const stop = new AbortController();
    const ran: string[] = [];
    const options = {
      limits: { ...limits, jobs: 1 },
      signal: stop.signal,
      onClusterUnused: async () => undefined,
    };
    await schedule([cell('a'), cell('b')], {
      ...options,
      run: async ({ id }) => {
        ran.push(id);
        stop.abort();
      },
    });
    expect(ran).toEqual(['a']);
    const failing = schedule([cell('c'), cell('d')], {
      ...options,
      signal: new AbortController().signal,
      run: async ({ id }) => {
        ran.push(id);
        throw new Error('disk');
      },
    });
    await expect(failing).rejects.toThrow('disk');
    expect(ran).toEqual(['a', 'c']);
  });
});
