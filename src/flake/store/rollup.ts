import { DAY_MS } from './record.js';
import { DELTA_COLUMNS } from './test-deltas.js';

/** Part of the history to sum again; everything when empty. Runs are taken whole, by their day or commit. */
export interface RollupScope {
  readonly environmentId?: number;
  readonly revisionId?: number;
  /** Only this day and later ones (days since 1970-01-01) … */
  readonly fromDay?: number;
  /** … and earlier ones than this. */
  readonly untilDay?: number;
}

/**
 * Statements that make the rollup of a scope again from raw results, in order; the same text for both engines. The caller
 * runs them in one transaction.
 */
export function rollupStatements(scope: RollupScope = {}): string[] {
  return [...dailyStatements(scope), ...failingCommitStatements(scope), changedStatement(scope.environmentId)];
}

/** What was read of the environment, of all when absent, is to be read again. @see FlakeStore.environments */
export function changedStatement(environmentId?: number): string {
  const where = environmentId === undefined ? '' : ` WHERE id = ${whole(environmentId)}`;
  return `UPDATE environment SET version = version + 1${where}`;
}

/**
 * Statements that drop raw results of runs before a day. Runs stay, so that importing one again does not count it twice;
 * sums stay for ever; failure texts go with the last result that needs them.
 */
export function pruneStatements(beforeDay: number): string[] {
  return [
    `UPDATE run SET pruned = 1 WHERE pruned = 0 AND started_at < ${whole(beforeDay) * DAY_MS}`,
    'DELETE FROM result WHERE run_id IN (SELECT id FROM run WHERE pruned = 1)',
    `DELETE FROM failure WHERE NOT EXISTS (SELECT 1 FROM result WHERE result.failure_id = failure.id)`,
    `INSERT INTO meta (key, value) VALUES ('pruned-before-day', '${whole(beforeDay)}')
     ON CONFLICT (key) DO UPDATE SET value = excluded.value
     WHERE cast(meta.value AS integer) < cast(excluded.value AS integer)`,
    changedStatement(),
  ];
}

export function dailyStatements(scope: RollupScope): string[] {
  const columns = DELTA_COLUMNS.map(([column]) => column).join(', ');
  const series =
    scope.environmentId === undefined
      ? '1 = 1'
      : `series_id IN (SELECT id FROM series WHERE environment_id = ${whole(scope.environmentId)})`;
  const days = [
    ...(scope.fromDay === undefined ? [] : [`day >= ${whole(scope.fromDay)}`]),
    ...(scope.untilDay === undefined ? [] : [`day < ${whole(scope.untilDay)}`]),
  ];
  return [
    ENSURE_SERIES(scope),
    `DELETE FROM daily WHERE ${[series, ...days].join(' AND ')}`,
    `INSERT INTO daily (series_id, day, pull, ${columns})
     SELECT series.id, run.started_at / ${DAY_MS}, ${PULL},
       sum(o.passed), sum(o.failed), sum(o.skipped), sum(o.error), sum(o.timedout), sum(o.notrun),
       sum(CASE WHEN o.last IS NULL THEN 0 ELSE 1 END),
       sum(CASE WHEN o.last % 2 = 1 THEN 1 ELSE 0 END),
       sum(CASE WHEN o.passed > 0 AND o.failed + o.timedout > 0 THEN 1 ELSE 0 END),
       sum(o.passed_ms), sum(o.failed_ms)
     FROM run
     JOIN (
       SELECT result.run_id, result.test_id,
         ${[0, 1, 2, 3, 4, 5].map((code) => `sum(CASE WHEN result.status = ${code} THEN 1 ELSE 0 END) AS ${STATUS_COLUMNS[code] ?? ''}`).join(', ')},
         max(CASE WHEN result.status = 0 THEN result.attempt * 2 WHEN result.status IN (1, 4) THEN result.attempt * 2 + 1 END) AS last,
         sum(CASE WHEN result.status = 0 THEN coalesce(result.duration_ms, 0) ELSE 0 END) AS passed_ms,
         sum(CASE WHEN result.status IN (1, 4) THEN coalesce(result.duration_ms, 0) ELSE 0 END) AS failed_ms
       FROM result
       WHERE result.run_id IN (SELECT id FROM run WHERE ${runsIn(scope)})
       GROUP BY result.run_id, result.test_id
     ) o ON o.run_id = run.id
     JOIN series ON series.test_id = o.test_id AND series.environment_id = run.environment_id
     WHERE ${runsIn(scope)}
     GROUP BY series.id, run.started_at / ${DAY_MS}, ${PULL}`,
  ];
}

function failingCommitStatements(scope: RollupScope): string[] {
  const series =
    scope.environmentId === undefined
      ? '1 = 1'
      : `series_id IN (SELECT id FROM series WHERE environment_id = ${whole(scope.environmentId)})`;
  // Runs of a commit may lie on several days, so days do not narrow here: commits with a run in the scope are summed whole.
  const revisions = `revision_id IN (SELECT revision_id FROM run WHERE ${runsIn(scope)})`;
  const environment =
    scope.environmentId === undefined ? '1 = 1' : `run.environment_id = ${whole(scope.environmentId)}`;
  return [
    `DELETE FROM failing_commit WHERE ${series} AND ${scope.revisionId === undefined ? revisions : `revision_id = ${whole(scope.revisionId)}`}`,
    `INSERT INTO failing_commit (series_id, revision_id, pull, passed, failed, last_at)
     SELECT series.id, run.revision_id, ${PULL},
       sum(CASE WHEN result.status = 0 THEN 1 ELSE 0 END),
       sum(CASE WHEN result.status IN (1, 4) THEN 1 ELSE 0 END),
       max(run.started_at)
     FROM run
     JOIN result ON result.run_id = run.id
     JOIN series ON series.test_id = result.test_id AND series.environment_id = run.environment_id
     WHERE run.excluded IS NULL AND ${environment} AND result.status IN (0, 1, 4)
       AND run.${scope.revisionId === undefined ? revisions : `revision_id = ${whole(scope.revisionId)}`}
     GROUP BY series.id, run.revision_id, ${PULL}
     HAVING sum(CASE WHEN result.status IN (1, 4) THEN 1 ELSE 0 END) > 0`,
  ];
}

const STATUS_COLUMNS = ['passed', 'failed', 'skipped', 'error', 'timedout', 'notrun'];
const PULL = 'CASE WHEN run.pull_request IS NULL THEN 0 ELSE 1 END';

/** Bulk imports do not keep the series; they follow from the results. */
function ENSURE_SERIES(scope: RollupScope): string {
  return `INSERT INTO series (test_id, environment_id)
    SELECT DISTINCT result.test_id, run.environment_id FROM run JOIN result ON result.run_id = run.id
    WHERE ${runsIn(scope)}
    ON CONFLICT (test_id, environment_id) DO NOTHING`;
}

function runsIn({ environmentId, revisionId, fromDay, untilDay }: RollupScope): string {
  return [
    'run.excluded IS NULL',
    'run.pruned = 0',
    ...(environmentId === undefined ? [] : [`run.environment_id = ${whole(environmentId)}`]),
    ...(revisionId === undefined || fromDay !== undefined ? [] : [`run.revision_id = ${whole(revisionId)}`]),
    ...(fromDay === undefined ? [] : [`run.started_at >= ${whole(fromDay * DAY_MS)}`]),
    ...(untilDay === undefined ? [] : [`run.started_at < ${whole(untilDay * DAY_MS)}`]),
  ].join(' AND ');
}

/** These numbers go into the text of a statement. */
function whole(value: number): number {
  if (!Number.isSafeInteger(value)) throw new RangeError(`not a whole number: ${value}`);
  return value;
}
