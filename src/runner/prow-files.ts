import type { RunResult, SourceInfo } from '../results/model.js';

/**
 * `started.json` and `finished.json` as Prow's tools read them: times in seconds since 1970.
 *
 * @see {@link https://docs.prow.k8s.io/docs/metadata-artifacts/}
 */
export function startedJson(at: Date, runId: string, source: SourceInfo): Record<string, unknown> {
  return {
    timestamp: Math.floor(at.getTime() / 1000),
    ...(source.commit === undefined ? {} : { 'repo-commit': source.commit }),
    ...(source.repository === undefined
      ? {}
      : { repos: { [source.repository]: source.branch ?? source.commit ?? '' } }),
    ...(source.pullRequest === undefined ? {} : { pull: String(source.pullRequest) }),
    metadata: { 'run-id': runId },
  };
}

/** @param exitCode of the run: 0 is SUCCESS, above 128 ABORTED, any other FAILURE */
export function finishedJson(
  at: Date,
  run: Pick<RunResult, 'runId' | 'source'>,
  exitCode: number,
): Record<string, unknown> {
  return {
    timestamp: Math.floor(at.getTime() / 1000),
    passed: exitCode === 0,
    result: exitCode === 0 ? 'SUCCESS' : exitCode > 128 ? 'ABORTED' : 'FAILURE',
    ...(run.source.commit === undefined ? {} : { revision: run.source.commit }),
    metadata: { 'run-id': run.runId, 'exit-code': exitCode },
  };
}
