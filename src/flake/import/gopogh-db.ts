import { MkCiError, messageOf } from '../../errors.js';
import type { ResultRecord, RunRecord } from '../store/record.js';

/** A row of gopogh's table `db_test_cases` with the duration of its run from `db_environment_tests`, in seconds. */
interface GopoghRow {
  readonly pr: string | null;
  readonly commitid: string;
  readonly envname: string;
  readonly testname: string;
  readonly result: string;
  readonly duration: number | null;
  /** Go's `time.Time.String()` in SQLite, seconds since 1970 from Postgres. */
  readonly testtime: string | number | null;
  readonly runduration: number | null;
}

/** Older files have one table only. Only SQLite's knows the order of the tests. */
const sqliteQuery = (hasRuns: boolean) => `
  SELECT c.PR AS pr, c.CommitId AS commitid, c.EnvName AS envname, c.TestName AS testname, c.Result AS result,
    c.Duration AS duration, c.TestTime AS testtime, ${hasRuns ? 'r.TotalDuration' : 'NULL'} AS runduration
  FROM db_test_cases c
  ${hasRuns ? 'LEFT JOIN db_environment_tests r ON r.CommitID = c.CommitId AND r.EnvName = c.EnvName' : ''}
  ORDER BY c.EnvName, c.CommitId, c.TestOrder`;

/** The columns hold UTC without saying so. In pages along the primary key: a table of years does not fit in memory. */
const postgresQuery = (hasRuns: boolean) => `
  SELECT c.pr, c.commitid, c.envname, c.testname, c.result, c.duration,
    CAST(extract(epoch FROM c.testtime) AS double precision) AS testtime,
    ${hasRuns ? 'r.totalduration' : 'CAST(NULL AS double precision)'} AS runduration
  FROM db_test_cases c
  ${hasRuns ? 'LEFT JOIN db_environment_tests r ON r.commitid = c.commitid AND r.envname = c.envname' : ''}
  WHERE (c.commitid, c.envname, c.testname) > ($1, $2, $3)
  ORDER BY c.commitid, c.envname, c.testname LIMIT 20000`;

const STATUSES = new Map([
  ['pass', 'passed'],
  ['fail', 'failed'],
  ['skip', 'skipped'],
] as const);

/**
 * Reads gopogh's database, the SQLite file or the Postgres server. Rows of one commit and environment are one run; minikube
 * writes `commit:date:job` for the commit, so its reruns are runs of their own.
 *
 * @param source path or `postgres://` URL
 * @throws {MkCiError} `DB_OPEN`, `DB_FOREIGN` when the tables are not gopogh's
 * @see {@link https://github.com/medyagh/gopogh/blob/master/pkg/db/sqlite.go}
 */
export async function* readGopoghDatabase(
  source: string,
  { repository = '' }: { readonly repository?: string } = {},
): AsyncGenerator<RunRecord> {
  let rows: GopoghRow[] = [];
  for await (const row of readRows(source)) {
    const first = rows[0];
    if (first !== undefined && (first.commitid !== row.commitid || first.envname !== row.envname)) {
      yield recordOf(rows, repository);
      rows = [];
    }
    rows.push(row);
  }
  if (rows.length > 0) yield recordOf(rows, repository);
}

async function* readRows(source: string): AsyncGenerator<GopoghRow> {
  try {
    if (/^postgres(ql)?:\/\//.test(source)) {
      const { default: pg } = await import('pg');
      const client = new pg.Client({ connectionString: source });
      await client.connect();
      try {
        const table = await client.query<{ found: boolean }>(
          `SELECT to_regclass('db_environment_tests') IS NOT NULL AS found`,
        );
        const query = postgresQuery(table.rows[0]?.found === true);
        for (let after = ['', '', '']; ;) {
          const { rows } = await client.query<GopoghRow>(query, after);
          yield* rows;
          const last = rows.at(-1);
          if (last === undefined) break;
          after = [last.commitid, last.envname, last.testname];
        }
      } finally {
        await client.end();
      }
    } else {
      const { SqliteDatabase } = await import('../store/sqlite-library.js');
      const db = new SqliteDatabase(source, { readonly: true, fileMustExist: true });
      try {
        const table = db.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'db_environment_tests'`).get();
        yield* db.prepare<[], GopoghRow>(sqliteQuery(table !== undefined)).iterate();
      } finally {
        db.close();
      }
    }
  } catch (error) {
    const message = messageOf(error);
    const isForeign = /no such table|no such column|does not exist|not a database/.test(message);
    throw new MkCiError(isForeign ? 'DB_FOREIGN' : 'DB_OPEN', {
      message: `no gopogh database: ${message}`,
      cause: error,
      ...(isForeign
        ? { advice: 'Name a database that gopogh wrote (tables db_test_cases, db_environment_tests).' }
        : {}),
    });
  }
}

function recordOf(rows: readonly GopoghRow[], repository: string): RunRecord {
  const [first] = rows;
  if (first === undefined) throw new RangeError('a run has rows');
  const [sha = ''] = first.commitid.split(':');
  const pull = /^(?:PR-?|#)?(\d+)$/i.exec(first.pr?.trim() ?? '')?.[1];
  return {
    uid: `gopogh:${repository}#${first.envname}/${first.commitid}`,
    repository,
    environment: first.envname,
    suite: 'gopogh',
    ...(sha === '' ? {} : { commit: { sha } }),
    ...(pull === undefined || Number(pull) === 0 ? {} : { pullRequest: Number(pull) }),
    startedAtMs: timeOf(first.testtime),
    ...(first.runduration === null ? {} : { durationMs: Math.max(0, first.runduration * 1000) }),
    complete: true,
    origin: 'gopogh',
    results: rows.map(resultOf),
  };
}

function resultOf({ testname, result, duration }: GopoghRow): ResultRecord {
  return {
    package: '',
    name: testname,
    attempt: 1,
    status: STATUSES.get(result.toLowerCase() as 'pass' | 'fail' | 'skip') ?? 'notrun',
    ...(duration === null ? {} : { durationMs: Math.max(0, duration * 1000) }),
  };
}

/** `2023-06-01 12:00:00 +0000 UTC` of Go; 0 for what is no time. */
function timeOf(value: string | number | null): number {
  if (value === null) return 0;
  if (typeof value === 'number') return Math.round(value * 1000);
  const match = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)? ([+-]\d\d)(\d\d)/.exec(value);
  const time = Date.parse(
    match === null
      ? value
      : `${match[1] ?? ''}T${match[2] ?? ''}${(match[3] ?? '').slice(0, 4)}${match[4] ?? ''}:${match[5] ?? ''}`,
  );
  return Number.isNaN(time) ? 0 : time;
}
