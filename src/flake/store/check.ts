import { isDeepStrictEqual } from 'node:util';

import { sql, type Kysely } from 'kysely';

import { hasBlocks, sumBlocks, sumDays } from './window-sums.js';
import type { Schema } from './schema.js';

/**
 * Rules that a sound database keeps and that no constraint states; each is a query that counts what breaks it. The same
 * for both engines.
 */
const RULES: readonly (readonly [what: string, query: string])[] = [
  ['results of a run that is not there', 'SELECT count(*) AS n FROM result WHERE run_id NOT IN (SELECT id FROM run)'],
  [
    'results of a test that is not there',
    'SELECT count(*) AS n FROM result WHERE test_id NOT IN (SELECT id FROM test)',
  ],
  ['results with a status that is not known', 'SELECT count(*) AS n FROM result WHERE status NOT BETWEEN 0 AND 5'],
  [
    'results whose failure is not there',
    'SELECT count(*) AS n FROM result WHERE failure_id IS NOT NULL AND failure_id NOT IN (SELECT id FROM failure)',
  ],
  [
    'sums of a series that is not there',
    'SELECT count(*) AS n FROM daily WHERE series_id NOT IN (SELECT id FROM series)',
  ],
  [
    'days on which the sums are not those of the results',
    `SELECT count(*) AS n FROM (
       SELECT run.started_at / 86400000 AS day, count(*) AS attempts
       FROM run JOIN result ON result.run_id = run.id WHERE run.excluded IS NULL AND run.pruned = 0
       GROUP BY run.started_at / 86400000
     ) raw LEFT JOIN (
       SELECT day, sum(passed + failed + skipped + error + timedout + notrun) AS attempts FROM daily GROUP BY day
     ) sums ON sums.day = raw.day
     WHERE coalesce(sums.attempts, 0) < raw.attempts`,
  ],
];

/** @returns the rules that are broken, with how often */
export async function checkRules(db: Kysely<Schema>): Promise<string[]> {
  const problems: string[] = [];
  for (const [what, query] of RULES) {
    const { rows } = await sql.raw<{ n: number }>(query).execute(db);
    const count = rows[0]?.n ?? 0;
    if (count > 0) problems.push(`${what}: ${count}`);
  }
  const wrong = await seriesWithWrongBlocks(db);
  if (wrong > 0) problems.push(`tests whose sums in blocks are not those of their days: ${wrong}`);
  return problems;
}

/** `flake check` names it; making the rollup again repairs it. */
async function seriesWithWrongBlocks(db: Kysely<Schema>): Promise<number> {
  if (!(await hasBlocks(db))) return 0;
  const byDays = await sumDays(db, {});
  const byBlocks = await sumBlocks(db, {});
  const series = await db.selectFrom('series').select('id').execute();
  return series.filter(({ id }) => {
    const [left, right] = [byDays(id), byBlocks(id)];
    if (left === undefined || right === undefined) return left !== right;
    const { squares: leftSquares, ...leftSums } = left;
    const { squares: rightSquares, ...rightSums } = right;
    const isNear = Math.abs(leftSquares - rightSquares) <= 1e-9 * Math.max(1, leftSquares);
    return !isNear || !isDeepStrictEqual(leftSums, rightSums);
  }).length;
}
