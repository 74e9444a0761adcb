import { countTests } from '../counts.js';
import type { RunResult } from '../model.js';
import { verdictOf } from './verdict.js';

/**
 * `started.json` and `finished.json` as Prow's tools read them (Spyglass, TestGrid).
 *
 * @see {@link https://github.com/GoogleCloudPlatform/testgrid/blob/main/metadata/job.go} for the fields
 */
export interface ProwStarted {
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly pull?: string;
  /** Commit that was checked out, by repository. */
  readonly repos?: Readonly<Record<string, string>>;
  readonly 'repo-commit'?: string;
}

export interface ProwFinished {
  /** Seconds since 1970; absent while the run is not finished or was killed. */
  readonly timestamp?: number;
  /** `null` while it is not known. */
  readonly passed: boolean | null;
  readonly result: 'SUCCESS' | 'FAILURE' | 'ABORTED' | 'PENDING';
  /** Values are strings or maps of strings. */
  readonly metadata: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

export function prowStarted({ startedAt, source }: Pick<RunResult, 'startedAt' | 'source'>): ProwStarted {
  const { repository, commit, pullRequest, branch } = source;
  const version = commit ?? branch;
  return {
    timestamp: epochSeconds(startedAt),
    ...(pullRequest === undefined ? {} : { pull: String(pullRequest) }),
    ...(repository === undefined || version === undefined ? {} : { repos: { [repository]: version } }),
    ...(commit === undefined ? {} : { 'repo-commit': commit }),
  };
}

export function prowFinished(run: RunResult): ProwFinished {
  const counts = countTests(run.cells.flatMap(({ tests }) => tests));
  const verdict = verdictOf(run);
  const wasAborted = run.exitCode !== undefined && run.exitCode >= 128;
  const passed = run.complete ? (run.exitCode === undefined ? verdict === 'passed' : run.exitCode === 0) : null;
  return {
    ...(run.complete && run.endedAt !== undefined ? { timestamp: epochSeconds(run.endedAt) } : {}),
    passed,
    result: passed === null ? 'PENDING' : passed ? 'SUCCESS' : wasAborted ? 'ABORTED' : 'FAILURE',
    metadata: {
      'run-id': run.runId,
      'mk-ci-version': run.toolVersion,
      verdict,
      ...(run.source.commit === undefined ? {} : { 'repo-commit': run.source.commit }),
      tests: Object.fromEntries(Object.entries(counts).map(([status, count]) => [status, String(count)])),
    },
  };
}

export function renderProwStarted(run: Pick<RunResult, 'startedAt' | 'source'>): string {
  return `${JSON.stringify(prowStarted(run))}\n`;
}

export function renderProwFinished(run: RunResult): string {
  return `${JSON.stringify(prowFinished(run))}\n`;
}

function epochSeconds(moment: string): number {
  const ms = Date.parse(moment);
  return Number.isFinite(ms) ? Math.floor(ms / 1000) : 0;
}
