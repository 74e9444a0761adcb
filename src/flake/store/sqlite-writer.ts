import type Database from 'better-sqlite3';

import { SignatureBook, signatureOfFailure, type Founder } from '../signatures/book.js';
import { STATUS_CODES, dayOf, type FailureRecord, type ResultRecord, type RunRecord } from './record.js';
import { SEE_ALL_SIGNATURES, bodyOfFailure, failureOfRow, hashOfFailure, type StoredFailure } from './failure-rows.js';
import { rollupStatements, type RollupScope } from './rollup.js';
import { SqliteBlocks } from './sqlite-blocks.js';
import { blockRowOf, type BlockRow } from './daily-block.js';
import { DELTA_COLUMNS, testDeltas, type TestDelta } from './test-deltas.js';

/** What became of one record. */
export type Written = 'new' | 'known' | 'replaced';

/** Results in one statement: the call into SQLite costs as much as a row. */
const PLAIN_ROWS = 50;

type Row = Readonly<Record<string, unknown>>;

/**
 * Writes runs into SQLite, synchronously: an asynchronous driver costs more per row than SQLite itself
 * (`bench/flake.ts`). Must be called inside a transaction of the caller's.
 *
 * Ids of names are kept in maps. They are dropped when another connection has changed the file, and must be dropped with
 * {@link forget} after a rollback.
 */
export class SqliteWriter {
  readonly #db: Database.Database;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #blocks: SqliteBlocks;
  readonly #ids = new Map<string, Map<string, number>>();
  /** Tests by repository, package and name. */
  readonly #testIds = new Map<number, Map<string, Map<string, number>>>();
  /** Series by environment and test. */
  readonly #seriesIds = new Map<number, Map<number, number>>();
  /** Signature of each failure in `#ids`. */
  readonly #signatures = new Map<number, number>();
  #book: SignatureBook | undefined;
  #dataVersion = -1;
  #prunedBeforeDay = -Infinity;

  constructor(db: Database.Database) {
    this.#db = db;
    this.#statements = prepare(db);
    this.#blocks = new SqliteBlocks(db);
  }

  forget(): void {
    this.#ids.clear();
    this.#testIds.clear();
    this.#seriesIds.clear();
    this.#signatures.clear();
    this.#book = undefined;
  }

  /** Call first in each transaction. */
  begin(): void {
    const version = Number(this.#db.pragma('data_version', { simple: true }));
    if (version !== this.#dataVersion) this.forget();
    this.#dataVersion = version;
    this.#prunedBeforeDay = Number(this.#statements.prunedBeforeDay.pluck().get() ?? -Infinity);
  }

  write(record: RunRecord, wanted: 'live' | 'deferred'): Written {
    const sql = this.#statements;
    const old = sql.findRun.get(record.uid) as FoundRun | undefined;
    if (old !== undefined && !saysMore(record, old, this.#prunedBeforeDay)) return 'known';
    // Sums of days that were pruned are not made again: what comes late is added to them.
    const rollup = dayOf(record.startedAtMs) < this.#prunedBeforeDay ? 'live' : wanted;
    if (old !== undefined) this.#remove(old.id, rollup);

    const repository = this.#idOf('repository', record.repository);
    const environment = this.#idOf('environment', record.environment);
    const suite = this.#idOf('suite', record.suite);
    const revision = this.#revision(repository, record);
    const deltas = testDeltas(record.results);
    const run = Number(
      sql.insertRun.run(
        record.uid,
        repository,
        environment,
        suite,
        revision,
        record.branch ?? null,
        record.pullRequest ?? null,
        record.url ?? null,
        record.startedAtMs,
        integer(record.durationMs),
        record.complete ? 1 : 0,
        record.excluded ?? null,
        record.origin,
        deltas.length,
        deltas.reduce((sum, { failedRuns }) => sum + failedRuns, 0),
      ).lastInsertRowid,
    );
    this.#insertResults(run, repository, record);
    sql.environmentChanged.run(environment);
    if (rollup === 'live' && record.excluded === undefined) {
      this.#addDeltas(deltas, { run, repository, environment, revision, record });
    }
    return old === undefined ? 'new' : 'replaced';
  }

  /** In the order of the table's key, so that pages are filled one after the other. */
  #insertResults(run: number, repository: number, { results, startedAtMs }: RunRecord): void {
    const { insertResult, insertPlain } = this.#statements;
    const signatures = new Set<number>();
    // Most attempts are first ones without a failure: many of them in one statement, which writes those two as constants.
    let plain: (number | null)[] = [];
    for (const { test, result } of this.#inKeyOrder(repository, results)) {
      const status = STATUS_CODES[result.status];
      if (result.attempt === 1 && result.failure === undefined) {
        plain.push(run, test, status, integer(result.durationMs));
        if (plain.length < PLAIN_ROWS * 4) continue;
        insertPlain.run(plain);
        plain = [];
        continue;
      }
      const failure = result.failure === undefined ? null : this.#failure(result.failure);
      const signature = failure === null ? undefined : this.#signatures.get(failure);
      if (signature !== undefined) signatures.add(signature);
      insertResult.run(run, test, result.attempt, status, integer(result.durationMs), failure);
    }
    for (let at = 0; at < plain.length; at += 4) {
      insertResult.run(run, plain[at + 1], 1, plain[at + 2], plain[at + 3], null);
    }
    const at = Math.round(startedAtMs);
    for (const signature of signatures) this.#statements.seeSignature.run({ signature, at });
  }

  #inKeyOrder(repository: number, results: readonly ResultRecord[]): { test: number; result: ResultRecord }[] {
    const packages = this.#packages(repository);
    const rows = results.map((result) => ({
      test: this.#testIn(packages, repository, result.package, result.name),
      result,
    }));
    const isInOrder = rows.every(({ test, result }, index) => {
      const before = rows[index - 1];
      return (
        before === undefined || before.test < test || (before.test === test && before.result.attempt <= result.attempt)
      );
    });
    if (isInOrder) return rows;
    return rows.sort((left, right) => left.test - right.test || left.result.attempt - right.result.attempt);
  }

  #addDeltas(
    deltas: readonly TestDelta[],
    at: { run: number; repository: number; environment: number; revision: number; record: RunRecord },
  ): void {
    const sql = this.#statements;
    const day = dayOf(at.record.startedAtMs);
    const pull = at.record.pullRequest === undefined ? 0 : 1;
    const failing = new Set(sql.failingSeries.pluck().all(at.revision, pull) as number[]);
    const packages = this.#packages(at.repository);
    const seriesOfTest = this.#seriesMap(at.environment);
    const added: (readonly [number, BlockRow])[] = [];
    for (const delta of deltas) {
      const test = this.#testIn(packages, at.repository, delta.package, delta.name);
      let series = seriesOfTest.get(test);
      if (series === undefined) {
        ({ id: series } = sql.series.get(test, at.environment) as { id: number });
        seriesOfTest.set(test, series);
      }
      const sums = blockRowOf(delta);
      added.push([series, sums]);
      sql.addDaily.run(series, day, pull, ...sums);
      if (delta.failed + delta.timedout > 0 || (delta.runs > 0 && failing.has(series))) {
        sql.setFailingCommit.run({ series, test, pull, revision: at.revision, environment: at.environment });
      }
    }
    this.#blocks.add(day, pull, added);
  }

  /** Takes a run back: its results, and what it added to the rollup. */
  #remove(run: number, rollup: 'live' | 'deferred'): void {
    const sql = this.#statements;
    const at = sql.runScope.get(run) as { environmentId: number; revisionId: number; startedAt: number };
    sql.deleteResults.run(run);
    sql.deleteRun.run(run);
    sql.environmentChanged.run(at.environmentId);
    if (rollup === 'deferred') return;
    const day = dayOf(at.startedAt);
    const scope = { environmentId: at.environmentId, revisionId: at.revisionId, fromDay: day, untilDay: day + 1 };
    this.rebuildRollup(scope);
  }

  /** Makes the rollup of a scope again from raw results. */
  rebuildRollup(scope: RollupScope): void {
    for (const statement of rollupStatements(scope)) this.#db.exec(statement);
    this.#blocks.rebuild(scope);
  }

  /** Makes all blocks again from the daily sums: for another format. */
  rebuildBlocks(): void {
    this.#blocks.rebuild();
  }

  #map(kind: string): Map<string, number> {
    let map = this.#ids.get(kind);
    if (map === undefined) {
      map = new Map();
      this.#ids.set(kind, map);
    }
    return map;
  }

  #idOf(table: 'repository' | 'environment' | 'suite', name: string): number {
    return this.#known(table, name, () => this.#statements[table].get(name));
  }

  /** Once a result: two maps, so that no text is put together for a key. */
  #testIn(packages: Map<string, Map<string, number>>, repository: number, pkg: string, name: string): number {
    let tests = packages.get(pkg);
    if (tests === undefined) {
      tests = new Map();
      packages.set(pkg, tests);
    }
    let id = tests.get(name);
    if (id === undefined) {
      ({ id } = this.#statements.test.get(repository, pkg, name) as { id: number });
      tests.set(name, id);
    }
    return id;
  }

  #packages(repository: number): Map<string, Map<string, number>> {
    let packages = this.#testIds.get(repository);
    if (packages === undefined) {
      packages = new Map();
      this.#testIds.set(repository, packages);
    }
    return packages;
  }

  #seriesMap(environment: number): Map<number, number> {
    let map = this.#seriesIds.get(environment);
    if (map === undefined) {
      map = new Map();
      this.#seriesIds.set(environment, map);
    }
    return map;
  }

  /** A run without a commit is a revision of its own: evidence within the run, none between runs. */
  #revision(repository: number, record: RunRecord): number {
    const { commit, uid } = record;
    const sql = this.#statements;
    // Pages of other environments show the commit too.
    if (commit?.position !== undefined) sql.commitPlaced.run(repository, commit.sha);
    const row = sql.revision.get(
      repository,
      commit?.sha ?? `run:${uid}`,
      commit?.treeSha ?? null,
      commit?.position ?? null,
      record.startedAtMs,
    ) as { id: number };
    return row.id;
  }

  #failure(failure: FailureRecord): number {
    const hash = hashOfFailure(failure);
    const key = hash.toString('latin1');
    const map = this.#map('failure');
    const seen = map.get(key);
    if (seen !== undefined) return seen;
    const signature = this.#signature(failure);
    const row = this.#statements.failure.get(
      hash,
      failure.kind ?? null,
      failure.message,
      bodyOfFailure(failure) ?? null,
      signature,
    ) as { readonly id: number };
    // Failures are many and rarely come again.
    if (map.size > 10_000) {
      map.clear();
      this.#signatures.clear();
    }
    map.set(key, row.id);
    this.#signatures.set(row.id, signature);
    return row.id;
  }

  #signature(failure: FailureRecord): number {
    const sql = this.#statements;
    const { key, version, text, weak } = signatureOfFailure(failure);
    return this.#known('signature', key, () => {
      const old = sql.findSignature.get(key);
      if (old !== undefined) return old;
      this.#book ??= new SignatureBook(sql.founders.all(version) as Founder[]);
      // A message that names no cause is like every other such message, and like none in what counts.
      const founder = weak ? undefined : this.#book.find(text);
      const { id } = sql.insertSignature.get(key, version, text, weak ? 1 : 0, founder ?? null) as { id: number };
      if (founder === undefined) {
        sql.foundCluster.run(id);
        if (!weak) this.#book.add({ id, text });
      }
      return { id };
    });
  }

  /** Makes all signatures again from the failures: for another version of the normaliser. Inside a transaction. */
  rebuildSignatures(): void {
    this.forget();
    this.#db.exec('UPDATE failure SET signature_id = NULL; DELETE FROM signature');
    const failures = this.#db.prepare(`SELECT id, message, body FROM failure WHERE id > ? ORDER BY id LIMIT 1000`);
    const setSignature = this.#db.prepare('UPDATE failure SET signature_id = ? WHERE id = ?');
    for (let after = 0; ;) {
      const page = failures.all(after) as StoredFailure[];
      if (page.length === 0) break;
      for (const stored of page) setSignature.run(this.#signature(failureOfRow(stored)), stored.id);
      after = page.at(-1)?.id ?? after;
    }
    this.#db.exec(SEE_ALL_SIGNATURES);
  }

  #known(kind: string, key: string, find: () => unknown): number {
    const map = this.#map(kind);
    const seen = map.get(key);
    if (seen !== undefined) return seen;
    const { id } = find() as { readonly id: number };
    map.set(key, id);
    return id;
  }
}

/** A run that is stored already. */
export interface FoundRun {
  readonly id: number;
  readonly complete: number;
  readonly pruned: number;
  readonly startedAt: number;
  readonly results: number;
}

/**
 * Whether a record takes the place of the one stored under its uid: complete beats incomplete, then more results beat
 * fewer. So the outcome does not depend on the order in which copies of a run arrive. On a day that was pruned the first
 * copy stays, because the day can not be summed again without it.
 */
export function saysMore(
  record: { readonly complete: boolean; readonly results: { readonly length: number } },
  old: Omit<FoundRun, 'id'>,
  prunedBeforeDay: number,
): boolean {
  if (old.pruned === 1 || dayOf(old.startedAt) < prunedBeforeDay) return false;
  if (record.complete !== (old.complete === 1)) return record.complete;
  return record.results.length > old.results;
}

function integer(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : Math.round(value);
}

const INSERT_RESULT = 'INSERT INTO result (run_id, test_id, attempt, status, duration_ms, failure_id)';

// `DO UPDATE SET x = x` instead of `DO NOTHING`, which would return no row for one that exists.
function prepare(db: Database.Database) {
  const named = (table: string) =>
    db.prepare<unknown[], Row>(
      `INSERT INTO ${table} (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id`,
    );
  const columns = DELTA_COLUMNS.map(([column]) => column);
  return {
    repository: named('repository'),
    environment: named('environment'),
    suite: named('suite'),
    test: db.prepare<unknown[], Row>(
      `INSERT INTO test (repository_id, package, name) VALUES (?, ?, ?)
       ON CONFLICT (repository_id, package, name) DO UPDATE SET name = name RETURNING id`,
    ),
    series: db.prepare<unknown[], Row>(
      `INSERT INTO series (test_id, environment_id) VALUES (?, ?)
       ON CONFLICT (test_id, environment_id) DO UPDATE SET test_id = test_id RETURNING id`,
    ),
    revision: db.prepare<unknown[], Row>(
      `INSERT INTO revision (repository_id, sha, tree_sha, position, first_run_at) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (repository_id, sha) DO UPDATE SET
         tree_sha = coalesce(tree_sha, excluded.tree_sha),
         position = coalesce(position, excluded.position),
         first_run_at = min(first_run_at, excluded.first_run_at)
       RETURNING id`,
    ),
    commitPlaced: db.prepare(
      `UPDATE environment SET version = version + 1 WHERE id IN (
         SELECT run.environment_id FROM revision JOIN run ON run.revision_id = revision.id
         WHERE revision.repository_id = ? AND revision.sha = ? AND revision.position IS NULL)`,
    ),
    environmentChanged: db.prepare('UPDATE environment SET version = version + 1 WHERE id = ?'),
    failure: db.prepare<unknown[], Row>(
      `INSERT INTO failure (hash, kind, message, body, signature_id) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (hash) DO UPDATE SET hash = hash RETURNING id`,
    ),
    findSignature: db.prepare<unknown[], Row>('SELECT id FROM signature WHERE key = ?'),
    founders: db.prepare(
      'SELECT id, text FROM signature WHERE cluster_id = id AND weak = 0 AND version = ? ORDER BY id',
    ),
    insertSignature: db.prepare(
      'INSERT INTO signature (key, version, text, weak, cluster_id) VALUES (?, ?, ?, ?, ?) RETURNING id',
    ),
    foundCluster: db.prepare('UPDATE signature SET cluster_id = id WHERE id = ?'),
    seeSignature: db.prepare(
      `UPDATE signature SET first_at = min(coalesce(first_at, @at), @at), last_at = max(coalesce(last_at, @at), @at)
       WHERE id = @signature`,
    ),
    prunedBeforeDay: db.prepare(`SELECT value FROM meta WHERE key = 'pruned-before-day'`),
    findRun: db.prepare(
      `SELECT id, complete, pruned, started_at AS startedAt,
         (SELECT count(*) FROM result WHERE run_id = run.id) AS results FROM run WHERE uid = ?`,
    ),
    insertRun: db.prepare(
      `INSERT INTO run (uid, repository_id, environment_id, suite_id, revision_id, branch, pull_request, url, started_at,
         duration_ms, complete, excluded, origin, tests, failed_tests)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    insertResult: db.prepare(`${INSERT_RESULT} VALUES (?, ?, ?, ?, ?, ?)`),
    insertPlain: db.prepare(
      `${INSERT_RESULT} VALUES ${Array.from({ length: PLAIN_ROWS }, () => '(?, ?, 1, ?, ?, NULL)').join(', ')}`,
    ),
    runScope: db.prepare(
      `SELECT environment_id AS environmentId, revision_id AS revisionId, started_at AS startedAt FROM run WHERE id = ?`,
    ),
    deleteResults: db.prepare('DELETE FROM result WHERE run_id = ?'),
    deleteRun: db.prepare('DELETE FROM run WHERE id = ?'),
    failingSeries: db.prepare('SELECT series_id FROM failing_commit WHERE revision_id = ? AND pull = ?'),
    addDaily: db.prepare(
      `INSERT INTO daily (series_id, day, pull, ${columns.join(', ')})
       VALUES (?, ?, ?, ${columns.map(() => '?').join(', ')})
       ON CONFLICT (series_id, day, pull) DO UPDATE SET
         ${columns.map((column) => `${column} = ${column} + excluded.${column}`).join(', ')}`,
    ),
    setFailingCommit: db.prepare(
      `INSERT INTO failing_commit (series_id, revision_id, pull, passed, failed, last_at)
       SELECT @series, @revision, @pull, sum(result.status = 0), sum(result.status IN (1, 4)), max(run.started_at)
       FROM run CROSS JOIN result ON result.run_id = run.id AND result.test_id = @test
       WHERE run.revision_id = @revision AND run.environment_id = @environment AND run.excluded IS NULL
         AND (run.pull_request IS NOT NULL) = @pull AND result.status IN (0, 1, 4)
       ON CONFLICT (series_id, revision_id, pull) DO UPDATE SET
         passed = excluded.passed, failed = excluded.failed, last_at = excluded.last_at`,
    ),
  };
}
