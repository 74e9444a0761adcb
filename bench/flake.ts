/**
 * Speed and size of the flake database on SQLite, printed as JSON. Goals: DESIGN 11.
 *
 *   npx tsx bench/flake.ts [results] [folder]     # default 10,000,000 results in the system's temporary folder
 *
 * 8,000 series (400 tests in 20 environments), 10 runs a day each, 1 % failures; gopogh's table with the same rows beside.
 * Times are of the clock and, as `…CpuMs`, of the processor (user and system), which other programs of the host change less.
 * With a folder the database stays there, for `bench/serve.ts`.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';

import { openFlakeStore } from '../src/flake/index.js';
import { createRandom } from '../src/flake/statistics/random.js';
import { readRates } from '../src/flake/rates.js';
import type { RunRecord } from '../src/flake/store/record.js';
import { SqliteDatabase } from '../src/flake/store/sqlite-library.js';

const TESTS = 400;
const ENVIRONMENTS = 20;
const RUNS_A_DAY = 10;
const DAY_MS = 86_400_000;
const FIRST_DAY = Date.UTC(2025, 0, 1);

const total = Number(process.argv[2] ?? 10_000_000);
const given = process.argv[3];
const folder = given ?? mkdtempSync(join(tmpdir(), 'mk-ci-bench-'));

const names = Array.from({ length: TESTS }, (_, index) => `TestFunctional/parallel/Case${index}/with/a/usual/length`);

function* runs(from: number, to: number): Generator<RunRecord> {
  const random = createRandom(from + 1);
  for (let number = from; number < to; number += 1) {
    const slot = Math.floor(number / ENVIRONMENTS);
    const startedAtMs = FIRST_DAY + Math.floor((slot * DAY_MS) / RUNS_A_DAY);
    yield {
      uid: `o/r#${number}`,
      repository: 'o/r',
      environment: `environment-${number % ENVIRONMENTS}`,
      suite: 'e2e',
      commit: { sha: `${slot.toString(16).padStart(8, '0')}c0ffee00c0ffee00c0ffee00c0ffee00` },
      startedAtMs,
      complete: true,
      origin: 'bench',
      results: names.map((name) => {
        const failed = random() < 0.01;
        return {
          package: 'p',
          name,
          attempt: 1,
          status: failed ? ('failed' as const) : ('passed' as const),
          durationMs: Math.floor(random() * 60_000),
          ...(failed ? { failure: { message: `assertion ${Math.floor(random() * 50)} failed` } } : {}),
        };
      }),
    };
  }
}

function seconds(since: number): number {
  return (performance.now() - since) / 1000;
}

/** Medians of the clock and of the processor's time. */
async function medians(name: string, times: number, body: () => unknown): Promise<Readonly<Record<string, number>>> {
  const clock: number[] = [];
  const processor: number[] = [];
  for (let round = 0; round < times; round += 1) {
    const since = performance.now();
    const before = process.cpuUsage();
    await body();
    const { user, system } = process.cpuUsage(before);
    clock.push(performance.now() - since);
    processor.push((user + system) / 1000);
  }
  const median = (values: number[]): number =>
    Math.round((values.sort((left, right) => left - right)[Math.floor(times / 2)] ?? NaN) * 10) / 10;
  return { [`${name}Ms`]: median(clock), [`${name}CpuMs`]: median(processor) };
}

const runCount = Math.ceil(total / TESTS);
const path = join(folder, 'flake.db');
try {
  const store = await openFlakeStore(path);
  let since = performance.now();
  const written = await store.write(runs(0, runCount), { rollup: 'deferred' });
  const appendSeconds = seconds(since);
  since = performance.now();
  await store.rebuildRollup();
  const rollupSeconds = seconds(since);

  const liveRuns = 500;
  since = performance.now();
  for (const run of runs(runCount, runCount + liveRuns)) await store.write([run]);
  const liveSeconds = seconds(since);
  await store.close();
  const bytes = statSync(path).size;

  const reader = await openFlakeStore(path, { readonly: true });
  const lastMs = FIRST_DAY + Math.floor(((runCount + liveRuns) / ENVIRONMENTS / RUNS_A_DAY) * DAY_MS);
  const filter = { sinceMs: lastMs - 30 * DAY_MS };
  const counts30Days = await medians('counts30Days', 9, async () => await reader.counts(filter));
  const rates30Days = await medians('rates30Days', 9, async () => await readRates(reader, filter));
  const one = { test: names[7] ?? '', environment: 'environment-3' };
  const history300 = await medians('history300', 9, async () => await reader.history(one, 300));
  const series = (await reader.counts(filter)).length;
  await reader.close();

  // The same rows the way gopogh keeps them: names in every row, the names as primary key.
  const gopoghPath = join(folder, 'gopogh.db');
  const gopogh = new SqliteDatabase(gopoghPath);
  gopogh.pragma('journal_mode = WAL');
  gopogh.pragma('synchronous = NORMAL');
  gopogh.exec(`CREATE TABLE db_test_cases (PR TEXT, CommitId TEXT, EnvName TEXT, TestName TEXT, Result TEXT, TestTime TEXT,
    Duration REAL, TestOrder INTEGER, PRIMARY KEY (CommitId, EnvName, TestName))`);
  const insert = gopogh.prepare('INSERT OR REPLACE INTO db_test_cases VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  since = performance.now();
  gopogh.transaction(() => {
    for (const run of runs(0, runCount)) {
      const time = new Date(run.startedAtMs).toISOString();
      for (const [order, { name, status, durationMs = 0 }] of run.results.entries()) {
        insert.run('', run.commit?.sha, run.environment, name, status, time, durationMs / 1000, order);
      }
    }
  })();
  const gopoghSeconds = seconds(since);
  const gopoghRates =
    gopogh.prepare(`SELECT EnvName, TestName, sum(Result = 'failed') * 1.0 / count(*) FROM db_test_cases
    WHERE TestTime >= ? AND Result <> 'skipped' GROUP BY EnvName, TestName`);
  const gopoghHistory = gopogh.prepare(
    'SELECT * FROM db_test_cases WHERE EnvName = ? AND TestName = ? ORDER BY TestTime DESC LIMIT 300',
  );
  const sinceTime = new Date(filter.sinceMs).toISOString();
  const gopoghTimes = {
    ...(await medians('rates30Days', 3, () => gopoghRates.all(sinceTime))),
    ...(await medians('history300', 3, () => gopoghHistory.all(one.environment, one.test))),
  };
  gopogh.close();

  console.log(
    JSON.stringify(
      {
        node: process.version,
        loadAverage: loadavg().map((load) => Math.round(load * 10) / 10),
        results: written.results,
        series,
        appendPerSecond: Math.round(written.results / appendSeconds),
        rollupSeconds: Math.round(rollupSeconds * 10) / 10,
        appendWithRollupPerSecond: Math.round(written.results / (appendSeconds + rollupSeconds)),
        livePerSecond: Math.round((liveRuns * TESTS) / liveSeconds),
        bytesPerResult: Math.round((bytes / (written.results + liveRuns * TESTS)) * 10) / 10,
        ...counts30Days,
        ...rates30Days,
        ...history300,
        gopogh: {
          results: runCount * TESTS,
          appendPerSecond: Math.round((runCount * TESTS) / gopoghSeconds),
          bytesPerResult: Math.round((statSync(gopoghPath).size / (runCount * TESTS)) * 10) / 10,
          ...gopoghTimes,
        },
      },
      null,
      2,
    ),
  );
} finally {
  rmSync(join(folder, 'gopogh.db'), { force: true });
  if (given === undefined) rmSync(folder, { recursive: true, force: true });
}
