import type { CellResult, RunResult, TestAttempt } from '../../results/model.js';
import type { CommitRecord, FailureRecord, ResultRecord, RunRecord } from './record.js';

/** What a `RunResult` does not know, or what replaces what it says. */
export interface RecordMeta {
  readonly repository?: string;
  readonly commit?: string;
  readonly treeSha?: string;
  readonly position?: number;
  readonly branch?: string;
  readonly pullRequest?: number;
  readonly url?: string;
  /** Name for the environment of files that do not tell; cells of a run folder keep theirs. */
  readonly environment?: string;
  readonly startedAtMs?: number;
  /** Identity given by the CI system (host, repository, run, attempt, job), in place of the run id. */
  readonly ciRun?: string;
}

/**
 * The cells of a run as records for the store. Pure.
 *
 * @returns one record for each cell that has a test; attempts of a test that stands twice in a cell are numbered on
 */
export function recordsOfRun(run: RunResult, meta: RecordMeta = {}): RunRecord[] {
  return run.cells
    .filter((cell) => cell.tests.length > 0)
    .map((cell) => {
      const { source } = run;
      const repository = meta.repository ?? source.repository ?? '';
      const startedAtMs = meta.startedAtMs ?? timeOf(cell.startedAt) ?? timeOf(run.startedAt) ?? 0;
      const excluded = setupFailureOf(run, cell);
      return {
        uid: `${meta.ciRun ?? `${repository}#${run.runId}`}/${cell.id}`,
        repository,
        environment: isNamed(cell.environment) ? cell.environment : (meta.environment ?? cell.environment),
        suite: cell.shard ? `${cell.suite} ${cell.shard.index}/${cell.shard.total}` : cell.suite,
        ...optional('commit', commitOf(run, meta)),
        ...optional('branch', meta.branch ?? source.branch),
        ...optional('pullRequest', meta.pullRequest ?? source.pullRequest),
        ...optional('url', meta.url ?? source.jobUrl),
        startedAtMs,
        ...optional('durationMs', cell.durationMs),
        complete: run.complete,
        ...optional('excluded', excluded),
        origin: `mk-ci ${run.toolVersion}`,
        results: resultsOf(cell),
      };
    });
}

function resultsOf(cell: CellResult): ResultRecord[] {
  const results: ResultRecord[] = [];
  const attemptsSeen = new Map<string, number>();
  for (const test of cell.tests) {
    const key = `${test.id.package}\0${test.id.name}`;
    let attempt = attemptsSeen.get(key) ?? 0;
    for (const one of test.attempts) {
      attempt += 1;
      results.push({
        package: test.id.package,
        name: test.id.name,
        attempt,
        status: one.status,
        ...optional('durationMs', one.durationMs),
        ...optional('failure', failureOf(one)),
      });
    }
    attemptsSeen.set(key, attempt);
  }
  return results;
}

function failureOf({ failure }: TestAttempt): FailureRecord | undefined {
  if (failure === undefined) return undefined;
  return { message: failure.message, ...optional('text', failure.text), ...optional('kind', failure.kind) };
}

/** A work tree with changes is not the code of its commit, so it is no evidence for or against that commit. */
function commitOf(run: RunResult, meta: RecordMeta): CommitRecord | undefined {
  const sha = meta.commit ?? run.source.commit;
  if (sha === undefined || sha === '') return undefined;
  if (run.source.dirty === true && meta.commit === undefined) return { sha: `${sha}+${run.runId}` };
  return { sha, ...optional('treeSha', meta.treeSha), ...optional('position', meta.position) };
}

/** An infrastructure error of the cell or of its environment: its tests are not to blame for what they show. */
function setupFailureOf(run: RunResult, cell: CellResult): string | undefined {
  const error = run.errors.find(
    ({ infrastructure, cell: id, environment }) =>
      infrastructure && (id === cell.id || (id === undefined && environment === cell.environment)),
  );
  return error === undefined ? undefined : `infrastructure: ${error.code}`;
}

/** Foreign files have no environment of their own; readers call it '' or `unknown`. */
function isNamed(environment: string): boolean {
  return environment !== '' && environment !== 'unknown' && environment !== 'default';
}

function timeOf(text: string | undefined): number | undefined {
  const time = text === undefined ? NaN : Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: V });
}
