import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { ProcessIdentity } from '../../process.js';
import type { JournalEntry, JournalThing } from '../journal.js';
import { ownershipLabels, type Ownership } from '../ownership.js';
import { isOurs } from './act.js';
import { planGc, type Seen, type SeenProcess } from './plan.js';

const alive: ProcessIdentity = { pid: 100, startedAt: '5@boot' };
const dead: ProcessIdentity = { pid: 200, startedAt: '6@boot' };
/** The number of a dead owner, now of another process. */
const reused: ProcessIdentity = { pid: 100, startedAt: '4@boot' };
const NOW = new Date('2026-08-24T12:00:00Z');

function process(pid: number, ownership: Ownership, isInThisNamespace = true): SeenProcess {
  return {
    pid,
    startedAt: `${pid}@boot`,
    labels: ownershipLabels(ownership),
    group: pid,
    command: 'etcd',
    isInThisNamespace,
  };
}

let ids = 0;
function entry(thing: JournalThing, ownership: Ownership, place = 'here'): JournalEntry {
  ids += 1;
  return { version: 1, id: `e${ids}`, createdAt: '2026-08-24T10:00:00Z', place, thing, ownership };
}

function seen(some: Partial<Omit<Seen, 'journal'>> & { readonly entries?: readonly JournalEntry[] } = {}): Seen {
  const { entries = [], ...rest } = some;
  const processes = rest.processes ?? [];
  return {
    now: NOW,
    place: 'here',
    journal: { entries, broken: [] },
    processes,
    clusterFolders: [],
    temporaryFolders: [],
    portLeases: [],
    resources: [],
    ownPids: new Set([1000]),
    existingFolders: new Set(rest.clusterFolders?.map((folder) => folder.path)),
    isAlive: (identity) =>
      [alive, ...processes].some(({ pid, startedAt }) => pid === identity.pid && startedAt === identity.startedAt),
    ...rest,
  };
}

const ending = (plan: ReturnType<typeof planGc>): number[] =>
  plan.actions.flatMap((action) => (action.kind === 'end-process' ? [action.identity.pid] : []));

describe('planGc', () => {
  it('ends processes of a dead run and leaves those of a living one', () => {
    const plan = planGc(
      seen({ processes: [process(1, { runId: 'r1', owner: dead }), process(2, { runId: 'r2', owner: alive })] }),
    );
    expect(plan.actions).toEqual([
      {
        kind: 'end-process',
        identity: { pid: 1, startedAt: '1@boot' },
        command: 'etcd',
        why: 'run r1 (process 200) has ended',
        runId: 'r1',
      },
    ]);
    expect(plan.kept).toEqual([{ what: 'process 2 etcd', why: 'its run, process 100, is alive' }]);
  });

  it('removes temporary folders whose maker has ended, here', () => {
    const temporaryFolders = [
      { path: '/tmp/mk-ci-a', place: 'here', owner: dead },
      { path: '/tmp/mk-ci-b', place: 'here', owner: alive },
      { path: '/tmp/mk-ci-c', place: 'there', owner: dead },
    ];
    const { actions, kept } = planGc(seen({ temporaryFolders }));
    expect(actions).toEqual([
      { kind: 'remove-folder', path: '/tmp/mk-ci-a', why: 'its owner, process 200, has ended' },
    ]);
    expect(kept.map(({ what }) => what)).toEqual(['folder /tmp/mk-ci-b', 'folder /tmp/mk-ci-c']);
  });

  it('keeps everything of a living run, and ends what a dead one left, whatever the wall clock was set to', () => {
    const processes = [
      process(1, { runId: 'r1', owner: alive, expiresAt: '2026-08-24T13:00:00Z' }),
      process(2, { runId: 'r2', owner: dead, expiresAt: '2026-08-24T13:00:00Z' }),
    ];
    for (const now of ['1970-01-01T00:00:00Z', '2026-08-24T12:00:00Z', '2099-01-01T00:00:00Z']) {
      expect(ending(planGc(seen({ now: new Date(now), processes })))).toEqual([2]);
    }
  });

  it('is not misled by a number that now belongs to another process', () => {
    expect(ending(planGc(seen({ processes: [process(1, { owner: reused })] })))).toEqual([1]);
  });

  it('keeps a cluster started by hand until it expires or its folder is gone', () => {
    const folder = '/state/clusters/a';
    const about = { cluster: 'a', folder };
    const existingFolders = new Set([folder]);
    const ended = (ownership: Ownership, existing = existingFolders): number[] =>
      ending(planGc(seen({ processes: [process(1, ownership)], existingFolders: existing })));
    expect(ended(about)).toEqual([]);
    expect(ended(about, new Set())).toEqual([1]);
    expect(ended({ ...about, expiresAt: '2026-08-24T12:00:01Z' })).toEqual([]);
    expect(ended({ ...about, expiresAt: '2026-08-24T11:59:59Z' })).toEqual([1]);
  });

  it('does not judge what says nothing, runs in a container, or carries this very command', () => {
    const plan = planGc(
      seen({
        processes: [process(1, {}), process(2, { owner: dead }, false), process(1000, { owner: dead })],
        entries: [
          entry({ kind: 'process', command: 'sh', identity: { pid: 1000, startedAt: '1000@boot' } }, { owner: dead }),
        ],
      }),
    );
    expect(plan.actions).toEqual([]);
    expect(plan.kept.map(({ why }) => why)).toEqual([
      'nothing says to whom it belongs',
      'it runs in a container',
      'this command runs under it',
    ]);
  });

  it('finds processes by the journal when their labels are lost', () => {
    const lost = { pid: 300, startedAt: '9@boot' };
    const plan = planGc(
      seen({
        entries: [
          entry({ kind: 'process', command: 'etcd', identity: lost }, { owner: dead }),
          entry({ kind: 'process', command: 'etcd', identity: { ...lost, startedAt: '8@boot' } }, { owner: dead }),
          entry({ kind: 'process', command: 'never started' }, { owner: dead }),
          entry({ kind: 'process', command: 'being started' }, { owner: alive }),
        ],
        isAlive: (identity) =>
          [alive, lost].some((one) => one.pid === identity.pid && one.startedAt === identity.startedAt),
      }),
    );
    expect(plan.actions.map((action) => action.kind)).toEqual(['end-process', 'forget', 'forget']);
    expect(ending(plan)).toEqual([300]);
  });

  it('ends a process that journal and labels both name once', () => {
    const one = process(1, { owner: dead });
    const plan = planGc(
      seen({
        processes: [one],
        entries: [
          entry({ kind: 'process', command: 'etcd', identity: { pid: 1, startedAt: '1@boot' } }, { owner: dead }),
        ],
      }),
    );
    expect(plan.actions).toHaveLength(1);
  });

  it('leaves what was noted in another namespace or on another host', () => {
    const elsewhere = entry({ kind: 'cluster-folder', path: '/state/clusters/a' }, { owner: dead }, 'there');
    const plan = planGc(seen({ entries: [elsewhere], existingFolders: new Set(['/state/clusters/a']) }));
    expect(plan.actions).toEqual([]);
  });

  it('removes the folder of a start that was killed and keeps that of a cluster that is up', () => {
    const folders = ['a', 'b', 'c', 'd'].map((name) => ({ path: `/state/clusters/${name}`, name }));
    const [a, b, c, d] = folders.map(({ path }) => path) as [string, string, string, string];
    const plan = planGc(
      seen({
        clusterFolders: [
          { path: a, name: 'a' }, // nothing written into it yet
          { path: b, name: 'b', ownership: {} },
          { path: c, name: 'c', ownership: { owner: dead, runId: 'r' } },
          { path: d, name: 'd' },
        ],
        entries: [
          entry({ kind: 'cluster-folder', path: a }, { owner: dead, cluster: 'a' }),
          entry({ kind: 'cluster-folder', path: b }, { owner: dead, cluster: 'b' }), // killed before it changed the note
        ],
      }),
    );
    expect(plan.actions.flatMap((action) => (action.kind === 'remove-folder' ? [action.path] : [])).sort()).toEqual([
      a,
      c,
    ]);
  });

  it('gives back ports of dead owners only', () => {
    const plan = planGc(
      seen({
        portLeases: [
          { path: '/p/1', port: 1, owner: dead, id: 'x' },
          { path: '/p/2', port: 2, owner: alive, id: 'y' },
        ],
      }),
    );
    expect(plan.actions).toMatchObject([{ kind: 'release-port', port: 1, path: '/p/1' }]);
  });

  it('takes the owner of a resource from the folder of its cluster, where its labels name none', () => {
    const of = (folder: string, owner?: ProcessIdentity) => ({
      clusterFolders: [{ path: folder, name: 'c1', ownership: owner === undefined ? {} : { owner } }],
      resources: [{ driver: 'docker', type: 'machine', name: 'n1', ownership: { cluster: 'c1', folder } }],
    });
    const removed = (plan: ReturnType<typeof planGc>): string[] =>
      plan.actions.flatMap((action) => (action.kind === 'remove-resource' ? [action.name] : []));
    expect(removed(planGc(seen(of('/c/c1', dead))))).toEqual(['n1']);
    expect(removed(planGc(seen(of('/c/c1', alive))))).toEqual([]);
    expect(removed(planGc(seen(of('/c/c1'))))).toEqual([]);
  });

  it('removes machines that a cluster does not consist of, unless somebody alive is making them', () => {
    const folder = '/c/c1';
    const ownership = { cluster: 'c1', folder };
    const machine = (name: string) => ({ driver: 'docker', type: 'machine', name, ownership });
    const note = (name: string, owner?: ProcessIdentity, place?: string): JournalEntry =>
      entry(
        { kind: 'resource', driver: 'docker', type: 'machine', name },
        { ...ownership, ...(owner === undefined ? {} : { owner }) },
        place,
      );
    const plan = planGc(
      seen({
        clusterFolders: [{ path: folder, name: 'c1', ownership: {}, machines: ['n1', 'n2'] }],
        resources: ['n1', 'n2', 'half', 'replaced', 'making', 'elsewhere'].map(machine),
        entries: [
          note('n1'),
          note('n2', dead), // killed before it changed the note
          note('half', dead),
          note('replaced'),
          note('making', alive),
          note('elsewhere', dead, 'there'),
        ],
      }),
    );
    expect(plan.actions.map((action) => (action.kind === 'remove-resource' ? action.name : action.kind))).toEqual([
      'half',
      'replaced',
    ]);
  });

  it('removes resources that only the labels or only the journal know, and notes of both at once', () => {
    const thing = { kind: 'resource', driver: 'docker', type: 'volume', name: 'v' } as const;
    const both = { kind: 'resource', driver: 'docker', type: 'machine', name: 'm' } as const;
    const noted = entry(both, { owner: dead });
    const plan = planGc(
      seen({
        entries: [entry(thing, { owner: dead }), noted],
        resources: [
          { driver: 'docker', type: 'machine', name: 'm', ownership: { owner: dead } },
          { driver: 'docker', type: 'machine', name: 'kept', ownership: { owner: alive } },
        ],
      }),
    );
    expect(plan.actions.map((action) => (action.kind === 'remove-resource' ? action.name : action.kind))).toEqual([
      'm',
      'v',
    ]);
    expect(plan.actions[0]).toMatchObject({ entryIds: [noted.id] });
  });

  it('never touches a thing of a living owner, whatever else is seen', () => {
    const ownership: fc.Arbitrary<Ownership> = fc.record(
      {
        owner: fc.constantFrom(alive, dead, reused),
        runId: fc.constantFrom('r1', 'r2'),
        cluster: fc.constantFrom('a', 'b'),
        folder: fc.constantFrom('/c/a', '/c/b'),
        expiresAt: fc.constantFrom('2020-01-01T00:00:00Z', '2030-01-01T00:00:00Z'),
      },
      { requiredKeys: [] },
    );
    const pid = fc.integer({ min: 300, max: 310 });
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(pid, ownership), { selector: ([number]) => number, maxLength: 8 }),
        fc.array(fc.tuple(fc.constantFrom('/c/a', '/c/b'), ownership), { maxLength: 4 }),
        (owned, noted) => {
          const processes = owned.map(([number, about]) => process(number, about));
          const plan = planGc(
            seen({
              processes,
              entries: noted.map(([path, about]) => entry({ kind: 'cluster-folder', path }, about)),
              existingFolders: new Set(['/c/a']),
            }),
          );
          const living = owned.filter(([, about]) => about.owner === alive).map(([number]) => number);
          expect(ending(plan).filter((number) => living.includes(number))).toEqual([]);
          // And every process is either in the plan or said to be kept, once.
          expect(plan.kept.filter(({ what }) => what.startsWith('process')).length + ending(plan).length).toBe(
            owned.length,
          );
        },
      ),
    );
  });
});

describe('isOurs', () => {
  it('accepts only what lies strictly below the folders of mk-ci', () => {
    const roots = ['/home/u/.local/state/mk-ci'];
    const ours = (path: string): boolean => isOurs(path, roots, '/tmp');
    expect(ours('/home/u/.local/state/mk-ci/clusters/a')).toBe(true);
    expect(ours('/tmp/mk-ci-x1')).toBe(true);
    for (const path of [
      '/',
      '',
      '/tmp',
      '/tmp/other',
      '/srv/mk-ci-x1',
      '/home/u/.local/state/mk-ci',
      '/home/u/.local/state/mk-ci/',
      '/home/u/.local/state/mk-ci/../x',
      '/home/u/.local/state/mk-ci-other/a',
      'relative/mk-ci-x',
    ]) {
      expect([path, ours(path)]).toEqual([path, false]);
    }
  });
});
