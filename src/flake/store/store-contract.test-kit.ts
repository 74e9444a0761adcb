import { isDeepStrictEqual } from 'node:util';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { RunResult, TestAttempt, TestResult } from '../../results/model.js';
import { sumBlocks, sumDays } from './window-sums.js';
import type { ResultRecord, RunRecord } from './record.js';
import type { FlakeStore } from './store.js';

/** A run of `docker` at noon of a day in January 2026, every member replaceable. */
export function runRecord(overrides: Partial<RunRecord> & { readonly day?: number } = {}): RunRecord {
  const { day = 1, ...rest } = overrides;
  return {
    uid: `run-${day}`,
    repository: 'o/r',
    environment: 'docker',
    suite: 'e2e',
    commit: { sha: `c${day}` },
    startedAtMs: Date.UTC(2026, 0, day, 12),
    complete: true,
    origin: 'test',
    results: [],
    ...rest,
  };
}

/** `TestA:PFS` is test A with three attempts: passed, failed, skipped. E, T, N: error, timedout, notrun. */
export function results(...tests: readonly string[]): ResultRecord[] {
  const statuses = { P: 'passed', F: 'failed', S: 'skipped', E: 'error', T: 'timedout', N: 'notrun' } as const;
  return tests.flatMap((text) => {
    const [name = '', attempts = ''] = text.split(':');
    return Array.from(attempts, (letter, index) => {
      const status = statuses[letter as keyof typeof statuses];
      return {
        package: 'p',
        name,
        attempt: index + 1,
        status,
        durationMs: 1000 * (index + 1),
        ...(status === 'failed' ? { failure: { message: `${name} broke`, text: `${name} broke\nat line 1` } } : {}),
      };
    });
  });
}

/** What every engine must do. Each test gets an empty store and must leave a sound one. */
export function describeStoreContract(engine: string, openEmpty: () => Promise<FlakeStore>): void {
  const open = async (): Promise<FlakeStore> => {
    const store = await openEmpty();
    const close = store[Symbol.asyncDispose].bind(store);
    return Object.assign(store, {
      [Symbol.asyncDispose]: async () => {
        try {
          expect(await store.check()).toEqual([]);
        } finally {
          await close();
        }
      },
    });
  };

  describe(`flake store on ${engine}`, () => {
    it('counts attempts by status, runs by last outcome and both kinds of mixed evidence', async () => {
      await using store = await open();
      await store.write([
        runRecord({ day: 1, commit: { sha: 'x' }, results: results('A:FP', 'B:P', 'C:SE', 'D:TN') }),
        runRecord({ day: 2, commit: { sha: 'x' }, results: results('A:P', 'B:F', 'C:P') }),
      ]);
      const rows = await store.counts();
      expect(Object.fromEntries(rows.map((row) => [row.test, row]))).toMatchObject({
        A: {
          counts: { passed: 2, failed: 1, skipped: 0, error: 0, timedout: 0, notrun: 0 },
          runs: 2,
          failedRuns: 0,
          mixedRuns: 1,
          failingCommits: 1,
          mixedCommits: 1,
          passedMs: 3000,
          failedMs: 1000,
        },
        // Passed in one run of the commit and failed in another.
        B: { runs: 2, failedRuns: 1, mixedRuns: 0, failingCommits: 1, mixedCommits: 1 },
        C: { counts: { passed: 1, skipped: 1, error: 1 }, runs: 1, failedRuns: 0, failingCommits: 0 },
        D: { counts: { timedout: 1, notrun: 1 }, runs: 1, failedRuns: 1, failingCommits: 1, mixedCommits: 0 },
      });
      expect(rows).toHaveLength(4);
    });

    it('stores a run once, however often it comes', async () => {
      await using store = await open();
      const record = runRecord({ results: results('A:F') });
      expect(await store.write([record, record])).toMatchObject({ runs: 1, known: 1, results: 1 });
      expect(await store.write([record])).toMatchObject({ runs: 0, known: 1, results: 0 });
      expect(await store.counts()).toMatchObject([{ counts: { failed: 1 }, runs: 1 }]);
    });

    it('lets a complete record take the place of an incomplete one, and not the other way round', async () => {
      await using store = await open();
      const killed = runRecord({ complete: false, results: results('A:F', 'B:N') });
      const whole = runRecord({ complete: true, results: results('A:FP', 'B:P') });
      await store.write([killed]);
      expect(await store.write([whole])).toMatchObject({ runs: 0, replaced: 1 });
      expect(await store.write([killed])).toMatchObject({ known: 1 });
      const rows = await store.counts();
      expect(Object.fromEntries(rows.map((row) => [row.test, row]))).toMatchObject({
        A: { counts: { passed: 1, failed: 1 }, runs: 1, mixedRuns: 1, mixedCommits: 1 },
        B: { counts: { passed: 1, notrun: 0 }, runs: 1 },
      });
    });

    it('keeps excluded runs in the history and out of the counts', async () => {
      await using store = await open();
      const summary = await store.write([runRecord({ excluded: 'setup failed', results: results('A:F') })]);
      expect(summary.excluded).toEqual([{ uid: 'run-1', reason: 'setup failed' }]);
      expect(await store.counts()).toEqual([]);
      expect(await store.history({})).toMatchObject([{ test: 'A', excluded: 'setup failed' }]);
    });

    it('tells repositories, environments and packages apart', async () => {
      await using store = await open();
      await store.write([
        runRecord({ uid: 'a', results: results('A:P') }),
        runRecord({ uid: 'b', repository: 'o/other', results: results('A:F') }),
        runRecord({ uid: 'c', environment: 'podman', results: results('A:F') }),
        runRecord({ uid: 'd', results: [{ package: 'q', name: 'A', attempt: 1, status: 'failed' }] }),
      ]);
      expect(await store.counts()).toHaveLength(4);
      expect(await store.counts({ repository: 'o/r', environment: 'docker', package: 'p' })).toMatchObject([
        { counts: { passed: 1, failed: 0 } },
      ]);
    });

    it('filters by days, kind of run and patterns in which only the star is special', async () => {
      await using store = await open();
      await store.write([
        runRecord({ day: 1, results: results('Test_1:F', 'TestX1:P') }),
        runRecord({ day: 2, pullRequest: 7, results: results('Test_1:P', 'TestX1:P') }),
      ]);
      const of = async (filter: Parameters<FlakeStore['counts']>[0]) =>
        (await store.counts(filter)).map(({ test, runs }) => `${test} ${runs}`).sort();
      expect(await of({ test: 'Test_*' })).toEqual(['Test_1 2']);
      expect(await of({ test: 'test*' })).toEqual([]);
      expect(await of({ sinceMs: Date.UTC(2026, 0, 2) })).toEqual(['TestX1 1', 'Test_1 1']);
      expect(await of({ untilMs: Date.UTC(2026, 0, 2), test: '*_1' })).toEqual(['Test_1 1']);
      expect(await of({ runs: 'base', test: '*_1' })).toEqual(['Test_1 1']);
      expect(await store.failingDays({ runs: 'pull-requests' })).toEqual([]);
      expect(await store.failingDays({ test: '*_1' })).toMatchObject([
        { failures: 1, attempts: 1 },
        { failures: 0, attempts: 1 },
      ]);
      expect(await store.history({ runs: 'pull-requests', test: 'Test_1' })).toMatchObject([{ pullRequest: 7 }]);
    });

    it('gives the history newest first, with the failure message and the last attempt before the first', async () => {
      await using store = await open();
      await store.write([
        runRecord({ day: 1, results: results('A:FP') }),
        runRecord({ day: 2, branch: 'main', url: 'https://ci/2', results: results('A:P') }),
      ]);
      const rows = await store.history({ test: 'A' });
      expect(rows.map(({ commit, attempt, status, message }) => [commit, attempt, status, message])).toEqual([
        ['c2', 1, 'passed', undefined],
        ['c1', 2, 'passed', undefined],
        ['c1', 1, 'failed', 'A broke'],
      ]);
      expect(rows[0]).toMatchObject({ branch: 'main', url: 'https://ci/2', suite: 'e2e', durationMs: 1000 });
      expect(await store.history({}, 1)).toHaveLength(1);
    });

    it('does not take runs without a commit for runs of one commit', async () => {
      await using store = await open();
      const { commit: _, ...bare } = runRecord();
      await store.write([
        { ...bare, uid: 'a', results: results('A:P') },
        { ...bare, uid: 'b', results: results('A:F') },
      ]);
      expect(await store.counts()).toMatchObject([{ failingCommits: 1, mixedCommits: 0 }]);
      expect((await store.history({}))[0]).toMatchObject({ commit: undefined });
    });

    it('gives the same counts from the live rollup and from one made again', async () => {
      await using store = await open();
      await store.write([
        runRecord({ uid: '1', day: 1, results: results('A:FP', 'B:TN', 'C:S', 'D:FF') }),
        runRecord({ uid: '2', day: 1, pullRequest: 3, results: results('A:P', 'B:E', 'D:PF') }),
        runRecord({ uid: '3', day: 2, commit: { sha: 'c1' }, results: results('A:F', 'B:P', 'C:S', 'D:P') }),
        runRecord({ uid: '4', day: 3, excluded: 'why not', results: results('A:F') }),
      ]);
      const order = (rows: Awaited<ReturnType<FlakeStore['counts']>>) =>
        [...rows].sort((left, right) => left.test.localeCompare(right.test));
      const live = order(await store.counts());
      await store.rebuildRollup();
      expect(order(await store.counts())).toEqual(live);
      expect(live).toHaveLength(4);
    });

    it('keeps a failure that comes again after the runs that had it were pruned', async () => {
      await using store = await open();
      const failing = (uid: string) => runRecord({ uid, day: 1, results: results('A:F') });
      await store.write([failing('first')]);
      await store.prune(Date.UTC(2026, 0, 2));
      await store.write([failing('late')]);
      expect(await store.check()).toEqual([]);
    });

    it('sums any window of many tests as day by day, whatever was written, replaced, pruned and made again', async () => {
      const step = fc.record({
        kind: fc.constantFrom('live', 'live', 'live', 'deferred', 'cut off', 'prune', 'rebuild'),
        day: fc.integer({ min: 1, max: 40 }),
        pullRequest: fc.option(fc.constant(7), { nil: undefined }),
        environment: fc.constantFrom('docker', 'podman'),
        attempts: fc.array(fc.stringMatching(/^[PFSETN]{1,3}$/), { maxLength: 8 }),
        all: fc.boolean(),
      });
      const window = fc.record({
        from: fc.integer({ min: 0, max: 42 }),
        days: fc.integer({ min: 0, max: 45 }),
        runs: fc.constantFrom('all', 'base', 'pull-requests'),
      });
      // More than one block in each environment.
      const many = Array.from({ length: 270 }, (_, index) => `T${index}:P`);
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: 1, maxLength: 12 }),
          fc.array(window, { minLength: 3, maxLength: 6 }),
          async (steps, windows) => {
            await using store = await open();
            for (const [index, { kind, day, pullRequest, environment, attempts, all }] of steps.entries()) {
              const record = (text: readonly string[], complete: boolean): RunRecord =>
                runRecord({
                  uid: `run-${index}`,
                  day,
                  environment,
                  complete,
                  ...(pullRequest === undefined ? {} : { pullRequest }),
                  results: results(...text),
                });
              const some = [
                ...(all ? many : []),
                ...attempts.map((letters, test) => `${all ? 'U' : 'T'}${test * 37}:${letters}`),
              ];
              if (kind === 'prune') await store.prune(Date.UTC(2026, 0, Math.min(day, 10)));
              else if (kind === 'rebuild') await store.rebuildRollup();
              else if (kind === 'cut off') await store.write([record(some.slice(0, 3), false), record(some, true)]);
              else await store.write([record(some, true)], { rollup: kind === 'deferred' ? 'deferred' : 'live' });
            }
            if (steps.some(({ kind }) => kind === 'deferred')) await store.rebuildRollup();
            const ids = [
              1, 2, 37, 38, 74, 75, 111, 148, 222, 250, 255, 256, 257, 270, 280, 300, 511, 512, 530, 545, 550, 600,
            ];
            for (const { from, days, runs } of windows) {
              const sinceMs = Date.UTC(2026, 0, from);
              const filter = { sinceMs, untilMs: sinceMs + days * 86_400_000, runs } as const;
              const byBlocks = await store.read((db) => sumBlocks(db, filter));
              const byDays = await store.read((db) => sumDays(db, filter));
              for (const id of ids) {
                const { squares, ...sums } = byBlocks(id) ?? { squares: undefined };
                const { squares: expected, ...expectedSums } = byDays(id) ?? { squares: undefined };
                if (!isDeepStrictEqual(sums, expectedSums)) expect(sums).toEqual(expectedSums);
                expect(Math.abs((squares ?? -1) - (expected ?? -1))).toBeLessThan(1e-9);
              }
            }
          },
        ),
        { numRuns: engine === 'SQLite' ? 30 : 3 },
      );
    }, 120_000);

    it('makes a deferred rollup when asked', async () => {
      await using store = await open();
      await store.write([runRecord({ results: results('A:F') })], { rollup: 'deferred' });
      expect(await store.counts()).toEqual([]);
      await store.rebuildRollup();
      expect(await store.counts()).toMatchObject([{ runs: 1, failingCommits: 1 }]);
    });

    it('averages durations over passed attempts, and over failed ones where nothing passed', async () => {
      await using store = await open();
      await store.write([runRecord({ results: results('A:FP', 'B:F', 'C:S') })]);
      const rows = await store.durations('docker');
      expect(rows.map(({ test, durationMs, attempts }) => [test, durationMs, attempts]).sort()).toEqual([
        ['A', 2000, 1],
        ['B', 1000, 1],
      ]);
      expect(await store.durations('nowhere')).toEqual([]);
    });

    it('averages durations of whole cells, without runs that were cut off or excluded', async () => {
      await using store = await open();
      const cell = { results: results('A:P'), durationMs: 4000 };
      await store.write([
        runRecord({ day: 1, ...cell }),
        runRecord({ day: 2, ...cell, durationMs: 8000 }),
        runRecord({ day: 3, ...cell, durationMs: 90_000, complete: false }),
        runRecord({ day: 4, ...cell, durationMs: 90_000, excluded: 'infrastructure: DRV_FAILED' }),
        runRecord({ day: 5, ...cell, suite: 'e2e 1/2', environment: 'local' }),
        runRecord({ day: 6, results: results('A:P') }),
      ]);
      expect(await store.suiteDurations()).toEqual([
        { environment: 'docker', suite: 'e2e', durationMs: 6000, runs: 2 },
        { environment: 'local', suite: 'e2e 1/2', durationMs: 4000, runs: 1 },
      ]);
    });

    it('prunes raw results, keeps their sums and does not count a pruned run again', async () => {
      await using store = await open();
      const old = runRecord({ day: 1, results: results('A:F') });
      await store.write([old, runRecord({ day: 9, results: results('A:P') })]);
      const before = await store.counts();
      expect(await store.prune(Date.UTC(2026, 0, 5))).toBe(1);
      expect(await store.history({})).toHaveLength(1);
      await store.rebuildRollup();
      expect(await store.counts()).toEqual(before);
      expect(await store.write([old])).toMatchObject({ known: 1, results: 0 });
    });

    it('adds runs that come after their day was pruned to its sums, in bulk too, and keeps their first copy', async () => {
      await using store = await open();
      await store.write([runRecord({ day: 1, results: results('A:F') })]);
      await store.prune(Date.UTC(2026, 0, 5));
      const late = (uid: string, complete: boolean, test: string): RunRecord =>
        runRecord({ uid, day: 1, complete, results: results(test) });
      await store.write([late('bulk', true, 'A:P')], { rollup: 'deferred' });
      await store.write([late('cut off', false, 'A:P')]);
      await store.rebuildRollup();
      expect(await store.write([late('cut off', true, 'A:FF')])).toMatchObject({ known: 1, replaced: 0 });
      expect(await store.counts()).toMatchObject([{ runs: 3, counts: { passed: 2, failed: 1 } }]);
    });

    it('gives runs back as they were written, so that stores can be merged in any order', async () => {
      const records = [
        runRecord({
          uid: 'a',
          pullRequest: 4,
          branch: 'b',
          url: 'https://ci/a',
          durationMs: 5,
          results: results('A:FP', 'B:S'),
        }),
        runRecord({ uid: 'b', day: 2, complete: false, excluded: 'why', results: results('A:T') }),
      ];
      await using store = await open();
      await store.write(records);
      const back: RunRecord[] = [];
      for await (const record of store.readRuns()) back.push(record);
      expect(back).toEqual(records);
    });

    it('gives failures with one cause one signature, near-duplicates too, with first and last times', async () => {
      await using store = await open();
      const failed = (name: string, message: string): ResultRecord => ({
        package: 'p',
        name,
        attempt: 1,
        status: 'failed',
        failure: { message },
      });
      const long = 'dial tcp 10.0.0.1:8443: connect: connection refused while listing the nodes of the cluster';
      await store.write([
        runRecord({ day: 1, results: [failed('A', long), failed('B', 'exit status 1')] }),
        runRecord({ day: 3, results: [failed('A', long.replace('10.0.0.1', '10.9.9.9')), failed('C', long)] }),
        runRecord({ day: 5, results: [failed('A', `${long}s`), failed('B', 'exit status 1')] }),
        runRecord({ day: 6, excluded: 'setup failed', results: [failed('A', long)] }),
      ]);
      const rows = await store.signatures();
      expect(rows.map(({ test, weak, failures, commits }) => [test, weak, failures, commits])).toEqual([
        ['A', false, 3, 3],
        ['B', true, 2, 2],
        ['C', false, 1, 1],
      ]);
      const [a, , c] = rows;
      expect(a?.key).toBe(c?.key);
      expect(a?.text).toContain('dial tcp <ip>: connect: connection refused');
      expect([a?.firstAtMs, a?.lastAtMs]).toEqual([Date.UTC(2026, 0, 1, 12), Date.UTC(2026, 0, 5, 12)]);
      expect(await store.signatures({ test: 'C', sinceMs: Date.UTC(2026, 0, 4) })).toEqual([]);
      // What a test shows for the first time may be old elsewhere.
      expect(c).toMatchObject({ firstAtMs: Date.UTC(2026, 0, 3, 12), bornAtMs: Date.UTC(2026, 0, 1, 12) });
    });

    it('takes a renamed test for what it is called now in every read, and lets go of it again', async () => {
      await using store = await open();
      await store.write([
        runRecord({ day: 1, results: results('Old:F', 'Old/sub:P', 'B:P') }),
        runRecord({ day: 2, results: results('Older:P') }),
        runRecord({ day: 3, results: results('New:FP', 'New/sub:P') }),
      ]);
      const aliases = { Older: 'Old', Old: 'New', 'Old/*': 'New/*' };
      expect(await store.hasAliases(aliases)).toBe(false);
      await store.setAliases(aliases);
      expect(await store.hasAliases({ Old: 'New', 'Old/*': 'New/*', Older: 'Old' })).toBe(true);
      const rows = await store.counts();
      expect(rows.map(({ test }) => test).sort()).toEqual(['B', 'New', 'New/sub']);
      const renamed = rows.find(({ test }) => test === 'New');
      expect(renamed).toMatchObject({
        counts: { passed: 2, failed: 2 },
        runs: 3,
        failingCommits: 2,
        mixedCommits: 1,
        firstDay: 20454,
        lastDay: 20456,
      });
      expect((await store.failingDays()).map(({ seriesId, failures }) => [seriesId, failures])).toEqual(
        [1, 0, 1].map((failures) => [renamed?.seriesId, failures]),
      );
      expect(await store.counts({ test: 'New' })).toHaveLength(1);
      expect(await store.counts({ test: 'Old' })).toEqual([]);
      expect((await store.history({ test: 'New' })).map(({ test }) => test)).toEqual(['New', 'New', 'New', 'New']);
      expect((await store.signatures({ test: 'New' })).reduce((sum, { failures }) => sum + failures, 0)).toBe(2);
      expect((await store.attempts({ test: 'New/sub' })).length).toBe(2);
      await store.setAliases({});
      expect((await store.counts()).map(({ test }) => test)).toContain('Old');
    });

    it('gives an environment another version exactly when what is read of it may have changed', async () => {
      await using store = await open();
      const changedBy = async (write: () => Promise<unknown>): Promise<string[]> => {
        const before = new Map((await store.environments()).map(({ name, version }) => [name, version]));
        await write();
        const after = await store.environments();
        return after.filter(({ name, version }) => before.get(name) !== version).map(({ name }) => name);
      };
      const commit = { sha: 'c1' };
      const first = runRecord({ uid: 'a', environment: 'a', commit, complete: false, results: results('T:F') });
      const other = runRecord({ uid: 'b', environment: 'b', commit, results: results('T:P') });
      const write = async (record: RunRecord) => await store.write([record]);
      expect(await changedBy(async () => await write(first))).toEqual(['a']);
      expect(await changedBy(async () => await write(other))).toEqual(['b']);
      expect(await changedBy(async () => await write(other))).toEqual([]); // known
      expect(await changedBy(async () => await write({ ...first, complete: true }))).toEqual(['a']);
      const deferred = runRecord({ uid: 'c', environment: 'a', day: 2, results: results('T:P') });
      expect(await changedBy(async () => await store.write([deferred], { rollup: 'deferred' }))).toEqual(['a']);
      expect(
        await changedBy(async () => {
          await store.rebuildRollup();
        }),
      ).toEqual(['a', 'b']);
      const placed = runRecord({ uid: 'd', environment: 'c', commit: { sha: 'c1', position: 5 } });
      expect(await changedBy(async () => await write(placed))).toEqual(['a', 'b', 'c']); // they show the commit too
      expect(await changedBy(async () => await write({ ...placed, uid: 'e' }))).toEqual(['c']);
      expect(await changedBy(async () => await store.prune(Date.UTC(2026, 0, 2)))).toEqual(['a', 'b', 'c']);
    });

    it('finds nothing wrong with itself', async () => {
      await using store = await open();
      await store.write([
        runRecord({ results: results('A:FP', 'B:S') }),
        runRecord({ day: 9, results: results('A:P') }),
      ]);
      await store.prune(Date.UTC(2026, 0, 5));
      expect(await store.check()).toEqual([]);
    });

    it('records a run of the model, cell by cell', async () => {
      await using store = await open();
      const summary = await store.recordRun(runResult(), { pullRequest: 12 });
      expect(summary).toMatchObject({ runs: 2, results: 3 });
      expect(await store.recordRun(runResult())).toMatchObject({ runs: 0, known: 2 });
      const rows = await store.history({ environment: 'local' });
      expect(rows.map(({ test, attempt, status }) => [test, attempt, status])).toEqual([
        ['TestA', 2, 'passed'],
        ['TestA', 1, 'failed'],
      ]);
      expect(rows[0]).toMatchObject({ commit: 'abc', pullRequest: 12, suite: 'e2e 1/2', repository: 'o/r' });
    });
  });
}

function runResult(): RunResult {
  const attempt = (number: number, status: TestAttempt['status']): TestAttempt => ({
    attempt: number,
    status,
    cellAttempt: 1,
    ...(status === 'failed' ? { failure: { message: 'no', kind: 'assertion' as const } } : {}),
  });
  const test = (name: string, ...attempts: TestAttempt[]): TestResult => ({
    id: { package: 'pkg', name },
    attempts,
    status: attempts.at(-1)?.status ?? 'notrun',
    flaky: attempts.length > 1,
  });
  const cell = (environment: string, tests: readonly TestResult[]) => ({
    id: `${environment}.e2e`,
    environment,
    suite: 'e2e',
    shard: { index: 1, total: 2 },
    attempts: [],
    tests,
    packages: [],
    repairs: [],
    status: 'passed' as const,
  });
  return {
    runId: 'r1',
    toolVersion: '0.1.0',
    startedAt: '2026-01-05T10:00:00Z',
    source: { repository: 'o/r', commit: 'abc' },
    environments: [{ name: 'local' }, { name: 'docker' }],
    cells: [
      cell('local', [test('TestA', attempt(1, 'failed'), attempt(2, 'passed'))]),
      cell('docker', [test('TestA', attempt(1, 'passed'))]),
      cell('empty', []),
    ],
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
  };
}
