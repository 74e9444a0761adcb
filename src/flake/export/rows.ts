import type { RunRecord } from '../store/record.js';

/** Columns of an exported attempt; times in ISO 8601, durations in milliseconds. */
export const RESULT_COLUMNS = [
  'run',
  'repository',
  'environment',
  'suite',
  'commit',
  'branch',
  'pull_request',
  'started_at',
  'package',
  'test',
  'attempt',
  'status',
  'duration_ms',
  'failure',
  'excluded',
] as const;

/** The attempts of a run, one row each, in the order of {@link RESULT_COLUMNS}. */
export function resultRows(run: RunRecord): (string | number | undefined)[][] {
  return run.results.map(({ package: pkg, name, attempt, status, durationMs, failure }) => [
    run.uid,
    run.repository,
    run.environment,
    run.suite,
    run.commit?.sha,
    run.branch,
    run.pullRequest,
    new Date(run.startedAtMs).toISOString(),
    pkg,
    name,
    attempt,
    status,
    durationMs,
    failure?.message,
    run.excluded,
  ]);
}
