import { sql, type Kysely, type Transaction } from 'kysely';

import { SignatureBook, signatureOfFailure, type Founder } from '../signatures/book.js';
import type { Signature } from '../signatures/normalise.js';
import { blockRowOf } from './daily-block.js';
import { SEE_ALL_SIGNATURES, bodyOfFailure, failureOfRow, hashOfFailure, type StoredFailure } from './failure-rows.js';
import { STATUS_CODES, dayOf, type FailureRecord, type RunRecord } from './record.js';
import { addToBlocks, rebuildBlocks } from './postgres-blocks.js';
import { changedStatement, rollupStatements, type RollupScope } from './rollup.js';
import type { Schema } from './schema.js';
import { saysMore, type FoundRun, type Written } from './sqlite-writer.js';
import { DELTA_COLUMNS, testDeltas, type TestDelta } from './test-deltas.js';

/**
 * Writes runs into Postgres inside one transaction that holds the writer's lock, a handful of statements a run: rows
 * travel as arrays. Keeps ids of names for the life of the transaction.
 */
export class PostgresWriter {
  readonly #db: Transaction<Schema>;
  readonly #ids = new Map<string, Map<string, number>>();
  #book: SignatureBook | undefined;
  #prunedBeforeDay: number | undefined;

  constructor(db: Transaction<Schema>) {
    this.#db = db;
  }

  async write(record: RunRecord, wanted: 'live' | 'deferred'): Promise<Written> {
    const db = this.#db;
    const found = await sql<FoundRun>`
      SELECT id, complete, pruned, started_at AS "startedAt", (SELECT count(*)::int FROM result WHERE run_id = run.id) AS results
      FROM run WHERE uid = ${record.uid}`.execute(db);
    const old = found.rows[0];
    const prunedBeforeDay = (this.#prunedBeforeDay ??= (await prunedBefore(db)) ?? -Infinity);
    if (old !== undefined && !saysMore(record, old, prunedBeforeDay)) return 'known';
    // Sums of days that were pruned are not made again: what comes late is added to them.
    const rollup = dayOf(record.startedAtMs) < prunedBeforeDay ? 'live' : wanted;
    if (old !== undefined) await this.#remove(old.id, rollup);

    const repository = await this.#idOf('repository', record.repository);
    const environment = await this.#idOf('environment', record.environment);
    const suite = await this.#idOf('suite', record.suite);
    const revision = await this.#revision(repository, record);
    const deltas = testDeltas(record.results);
    const tests = await this.#tests(repository, deltas);
    const failedTests = deltas.reduce((sum, { failedRuns }) => sum + failedRuns, 0);
    const inserted = await sql<{ id: number }>`
      INSERT INTO run (uid, repository_id, environment_id, suite_id, revision_id, branch, pull_request, url, started_at,
        duration_ms, complete, excluded, origin, tests, failed_tests)
      VALUES (${record.uid}, ${repository}, ${environment}, ${suite}, ${revision}, ${record.branch ?? null},
        ${record.pullRequest ?? null}, ${record.url ?? null}, ${Math.round(record.startedAtMs)},
        ${integer(record.durationMs)}, ${record.complete ? 1 : 0}, ${record.excluded ?? null}, ${record.origin},
        ${deltas.length}, ${failedTests})
      RETURNING id`.execute(db);
    const run = idIn(inserted.rows);
    await this.#insertResults(run, tests, record);
    await sql.raw(changedStatement(environment)).execute(db);
    if (rollup === 'live' && record.excluded === undefined) {
      const series = await this.#series(environment, [...tests.values()]);
      const pull = record.pullRequest === undefined ? 0 : 1;
      await this.#addDaily(deltas, tests, series, dayOf(record.startedAtMs), pull);
      await this.#setFailingCommits(deltas, tests, series, { environment, revision, pull });
    }
    return old === undefined ? 'new' : 'replaced';
  }

  async #insertResults(run: number, tests: ReadonlyMap<string, number>, record: RunRecord): Promise<void> {
    const { results } = record;
    if (results.length === 0) return;
    const failures = await this.#failures(record);
    await sql`
      INSERT INTO result (run_id, test_id, attempt, status, duration_ms, failure_id)
      SELECT ${run}::int, * FROM unnest(
        ${results.map((result) => tests.get(keyOf(result)) ?? 0)}::int[],
        ${results.map(({ attempt }) => attempt)}::smallint[],
        ${results.map(({ status }) => STATUS_CODES[status])}::smallint[],
        ${results.map(({ durationMs }) => integer(durationMs))}::int[],
        ${results.map(({ failure }) => (failure === undefined ? null : (failures.get(hashOf(failure)) ?? null)))}::int[]
      )`.execute(this.#db);
  }

  async #failures({ results, startedAtMs }: RunRecord): Promise<Map<string, number>> {
    const distinct = new Map<string, FailureRecord>();
    for (const { failure } of results) if (failure !== undefined) distinct.set(hashOf(failure), failure);
    if (distinct.size === 0) return new Map();
    const list = [...distinct.values()];
    const signatures: number[] = [];
    for (const failure of list) signatures.push(await this.#signature(failure));
    const { rows } = await sql<{ hash: string; id: number }>`
      INSERT INTO failure (hash, kind, message, body, signature_id)
      SELECT decode(hash, 'hex'), kind, message, decode(body, 'base64'), signature_id FROM unnest(
        ${[...distinct.keys()]}::text[],
        ${list.map(({ kind }) => kind ?? null)}::text[],
        ${list.map(({ message }) => withoutNul(message))}::text[],
        ${list.map((failure) => bodyOfFailure(failure)?.toString('base64') ?? null)}::text[],
        ${signatures}::int[]
      ) AS wanted (hash, kind, message, body, signature_id)
      ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash
      RETURNING encode(hash, 'hex') AS hash, id`.execute(this.#db);
    const at = Math.round(startedAtMs);
    await sql`
      UPDATE signature SET first_at = least(coalesce(first_at, ${at}::bigint), ${at}::bigint),
        last_at = greatest(coalesce(last_at, ${at}::bigint), ${at}::bigint)
      WHERE id = ANY(${[...new Set(signatures)]}::int[])`.execute(this.#db);
    return new Map(rows.map(({ hash, id }) => [hash, id]));
  }

  async #signature(failure: FailureRecord): Promise<number> {
    const { key, version, text, weak } = signatureOfFailure(failure);
    const map = this.#map('signature');
    const seen = map.get(key);
    if (seen !== undefined) return seen;
    const found = await sql<{ id: number }>`SELECT id FROM signature WHERE key = ${key}`.execute(this.#db);
    const id = found.rows[0]?.id ?? (await this.#newSignature({ key, version, text: withoutNul(text), weak }));
    map.set(key, id);
    return id;
  }

  async #newSignature({ key, version, text, weak }: Signature): Promise<number> {
    this.#book ??= new SignatureBook(
      (
        await sql<Founder>`
          SELECT id, text FROM signature WHERE cluster_id = id AND weak = 0 AND version = ${version} ORDER BY id`.execute(
          this.#db,
        )
      ).rows,
    );
    // A message that names no cause is like every other such message, and like none in what counts.
    const founder = weak ? undefined : this.#book.find(text);
    const { rows } = await sql<{ id: number }>`
      INSERT INTO signature (key, version, text, weak, cluster_id)
      VALUES (${key}, ${version}, ${text}, ${weak ? 1 : 0}, ${founder ?? null}) RETURNING id`.execute(this.#db);
    const id = idIn(rows);
    if (founder === undefined) {
      await sql`UPDATE signature SET cluster_id = id WHERE id = ${id}`.execute(this.#db);
      if (!weak) this.#book.add({ id, text });
    }
    return id;
  }

  /** Makes all signatures again from the failures: for another version of the normaliser. */
  async rebuildSignatures(): Promise<void> {
    await sql`UPDATE failure SET signature_id = NULL`.execute(this.#db);
    await sql`DELETE FROM signature`.execute(this.#db);
    for (let after = 0; ;) {
      const { rows } = await sql<StoredFailure>`
        SELECT id, message, body FROM failure WHERE id > ${after} ORDER BY id LIMIT 1000`.execute(this.#db);
      if (rows.length === 0) break;
      for (const row of rows) {
        const signature = await this.#signature(failureOfRow(row));
        await sql`UPDATE failure SET signature_id = ${signature} WHERE id = ${row.id}`.execute(this.#db);
      }
      after = rows.at(-1)?.id ?? after;
    }
    await sql.raw(SEE_ALL_SIGNATURES).execute(this.#db);
  }

  async #addDaily(
    deltas: readonly TestDelta[],
    tests: ReadonlyMap<string, number>,
    series: ReadonlyMap<number, number>,
    day: number,
    pull: number,
  ): Promise<void> {
    if (deltas.length === 0) return;
    const columns = DELTA_COLUMNS.map(([column]) => column);
    const sums = DELTA_COLUMNS.map(([, member]) => sql`${deltas.map((delta) => delta[member])}::bigint[]`);
    const ids = deltas.map((delta) => series.get(tests.get(keyOf(delta)) ?? 0) ?? 0);
    await sql`
      INSERT INTO daily (series_id, day, pull, ${sql.raw(columns.join(', '))})
      SELECT series_id, ${day}::int, ${pull}::smallint, ${sql.raw(columns.join(', '))}
      FROM unnest(${ids}::int[], ${sql.join(sums)}) AS added (series_id, ${sql.raw(columns.join(', '))})
      ON CONFLICT (series_id, day, pull) DO UPDATE SET
        ${sql.raw(columns.map((column) => `${column} = daily.${column} + excluded.${column}`).join(', '))}`.execute(
      this.#db,
    );
    await addToBlocks(
      this.#db,
      day,
      pull,
      deltas.map((delta, index) => [ids[index] ?? 0, blockRowOf(delta)]),
    );
  }

  async #setFailingCommits(
    deltas: readonly TestDelta[],
    tests: ReadonlyMap<string, number>,
    series: ReadonlyMap<number, number>,
    at: { readonly environment: number; readonly revision: number; readonly pull: number },
  ): Promise<void> {
    const known = await sql<{ id: number }>`
      SELECT series_id AS id FROM failing_commit WHERE revision_id = ${at.revision} AND pull = ${at.pull}`.execute(
      this.#db,
    );
    const failing = new Set(known.rows.map(({ id }) => id));
    const affected = deltas
      .filter((delta) => {
        const id = series.get(tests.get(keyOf(delta)) ?? 0) ?? 0;
        return delta.failed + delta.timedout > 0 || (delta.runs > 0 && failing.has(id));
      })
      .map((delta) => tests.get(keyOf(delta)) ?? 0);
    if (affected.length === 0) return;
    await sql`
      INSERT INTO failing_commit (series_id, revision_id, pull, passed, failed, last_at)
      SELECT series.id, ${at.revision}::int, ${at.pull}::smallint, sum(CASE WHEN result.status = 0 THEN 1 ELSE 0 END),
        sum(CASE WHEN result.status IN (1, 4) THEN 1 ELSE 0 END), max(run.started_at)
      FROM run
      JOIN result ON result.run_id = run.id
      JOIN series ON series.test_id = result.test_id AND series.environment_id = run.environment_id
      WHERE run.revision_id = ${at.revision} AND run.environment_id = ${at.environment} AND run.excluded IS NULL
        AND (CASE WHEN run.pull_request IS NULL THEN 0 ELSE 1 END) = ${at.pull}
        AND result.status IN (0, 1, 4) AND result.test_id = ANY(${affected}::int[])
      GROUP BY series.id
      ON CONFLICT (series_id, revision_id, pull) DO UPDATE SET
        passed = excluded.passed, failed = excluded.failed, last_at = excluded.last_at`.execute(this.#db);
  }

  /** Takes a run back: its results, and what it added to the rollup. */
  async #remove(run: number, rollup: 'live' | 'deferred'): Promise<void> {
    const db = this.#db;
    const { rows } = await sql<{ environmentId: number; revisionId: number; startedAt: number }>`
      SELECT environment_id AS "environmentId", revision_id AS "revisionId", started_at AS "startedAt"
      FROM run WHERE id = ${run}`.execute(db);
    await sql`DELETE FROM result WHERE run_id = ${run}`.execute(db);
    await sql`DELETE FROM run WHERE id = ${run}`.execute(db);
    const at = rows[0];
    if (at === undefined) return;
    await sql.raw(changedStatement(at.environmentId)).execute(db);
    if (rollup === 'deferred') return;
    const fromDay = dayOf(at.startedAt);
    const scope = { environmentId: at.environmentId, revisionId: at.revisionId, fromDay, untilDay: fromDay + 1 };
    await this.rebuildRollup(scope);
  }

  /** Makes the rollup of a scope again from raw results. */
  async rebuildRollup(scope: RollupScope): Promise<void> {
    for (const statement of rollupStatements(scope)) await sql.raw(statement).execute(this.#db);
    await rebuildBlocks(this.#db, scope);
  }

  #map(kind: string): Map<string, number> {
    let map = this.#ids.get(kind);
    if (map === undefined) {
      map = new Map();
      this.#ids.set(kind, map);
    }
    return map;
  }

  async #idOf(table: 'repository' | 'environment' | 'suite', name: string): Promise<number> {
    const map = this.#map(table);
    const seen = map.get(name);
    if (seen !== undefined) return seen;
    const { rows } = await sql<{ id: number }>`
      INSERT INTO ${sql.table(table)} (name) VALUES (${name})
      ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id`.execute(this.#db);
    const id = idIn(rows);
    map.set(name, id);
    return id;
  }

  async #revision(repository: number, record: RunRecord): Promise<number> {
    const { commit } = record;
    if (commit?.position !== undefined) {
      // Pages of other environments show the commit too.
      await sql`
        UPDATE environment SET version = version + 1 WHERE id IN (
          SELECT run.environment_id FROM revision JOIN run ON run.revision_id = revision.id
          WHERE revision.repository_id = ${repository} AND revision.sha = ${commit.sha} AND revision.position IS NULL)`.execute(
        this.#db,
      );
    }
    const { rows } = await sql<{ id: number }>`
      INSERT INTO revision (repository_id, sha, tree_sha, position, first_run_at)
      VALUES (${repository}, ${commit?.sha ?? `run:${record.uid}`}, ${commit?.treeSha ?? null},
        ${commit?.position ?? null}, ${Math.round(record.startedAtMs)})
      ON CONFLICT (repository_id, sha) DO UPDATE SET
        tree_sha = coalesce(revision.tree_sha, excluded.tree_sha),
        position = coalesce(revision.position, excluded.position),
        first_run_at = least(revision.first_run_at, excluded.first_run_at)
      RETURNING id`.execute(this.#db);
    return idIn(rows);
  }

  /** Ids of all tests of the run by `package\0name`, in one statement for those not seen before. */
  async #tests(repository: number, deltas: readonly TestDelta[]): Promise<ReadonlyMap<string, number>> {
    const map = this.#map(`test ${repository}`);
    const missing = deltas.filter((delta) => !map.has(keyOf(delta)));
    if (missing.length > 0) {
      const { rows } = await sql<{ id: number; package: string; name: string }>`
        INSERT INTO test (repository_id, package, name)
        SELECT ${repository}::int, * FROM unnest(
          ${missing.map((delta) => delta.package)}::text[], ${missing.map(({ name }) => name)}::text[])
        ON CONFLICT (repository_id, package, name) DO UPDATE SET name = excluded.name
        RETURNING id, package, name`.execute(this.#db);
      for (const row of rows) map.set(keyOf(row), row.id);
    }
    return map;
  }

  async #series(environment: number, tests: readonly number[]): Promise<ReadonlyMap<number, number>> {
    const { rows } = await sql<{ id: number; test: number }>`
      INSERT INTO series (test_id, environment_id) SELECT *, ${environment}::int FROM unnest(${tests}::int[])
      ON CONFLICT (test_id, environment_id) DO UPDATE SET test_id = excluded.test_id
      RETURNING id, test_id AS test`.execute(this.#db);
    return new Map(rows.map(({ id, test }) => [test, id]));
  }
}

/** First day that {@link PostgresWriter.rebuildRollup} may sum again; `undefined` when nothing was ever pruned. */
export async function prunedBefore(db: Kysely<Schema>): Promise<number | undefined> {
  const row = await db.selectFrom('meta').select('value').where('key', '=', 'pruned-before-day').executeTakeFirst();
  return row === undefined ? undefined : Number(row.value);
}

function keyOf(test: { readonly package: string; readonly name: string }): string {
  return `${test.package}\0${test.name}`;
}

function hashOf(failure: FailureRecord): string {
  return hashOfFailure(failure).toString('hex');
}

/** Postgres has no U+0000 in text. */
function withoutNul(text: string): string {
  return text.replaceAll('\0', '\uFFFD');
}

function integer(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : Math.round(value);
}

function idIn(rows: readonly { readonly id: number }[]): number {
  const row = rows[0];
  if (row === undefined) throw new Error('a statement with RETURNING gave no row');
  return row.id;
}
