import { signatureOfFailure } from '../signatures/book.js';
import { outcomeOf } from '../store/record.js';
import type { FlakeStore } from '../store/store.js';
import type { RunOutcome, Series } from './backtest.js';

/**
 * The history by test and environment, oldest run first; excluded runs are left out.
 *
 * @param sinceMs runs before it are not read
 */
export async function readSeries(
  store: Pick<FlakeStore, 'readRuns'>,
  { sinceMs, signal }: { readonly sinceMs?: number; readonly signal?: AbortSignal } = {},
): Promise<Series[]> {
  const series = new Map<string, Omit<Series, 'runs'> & { readonly runs: RunOutcome[] }>();
  for await (const run of store.readRuns(sinceMs === undefined ? {} : { sinceMs })) {
    signal?.throwIfAborted();
    if (run.excluded !== undefined) continue;
    const tests = new Map<string, { passed: number; failed: number; signatures: Map<string, boolean> }>();
    for (const { package: pkg, name, status, failure } of run.results) {
      const outcome = outcomeOf(status);
      if (outcome === undefined) continue;
      const key = `${pkg}\0${name}`;
      const test = tests.get(key) ?? { passed: 0, failed: 0, signatures: new Map<string, boolean>() };
      tests.set(key, test);
      if (outcome === 'pass') test.passed += 1;
      else test.failed += 1;
      if (failure === undefined) continue;
      const signature = signatureOfFailure(failure);
      test.signatures.set(signature.key, signature.weak);
    }
    for (const [key, { passed, failed, signatures }] of tests) {
      const id = `${run.repository}\0${run.environment}\0${key}`;
      const [pkg = '', name = ''] = key.split('\0');
      const one = series.get(id) ?? {
        repository: run.repository,
        environment: run.environment,
        package: pkg,
        test: name,
        runs: [],
      };
      series.set(id, one);
      one.runs.push({
        atMs: run.startedAtMs,
        commit: run.commit?.sha ?? run.uid,
        ...(run.pullRequest === undefined ? {} : { pullRequest: run.pullRequest }),
        passed,
        failed,
        signatures: [...signatures].map(([signature, weak]) => ({ key: signature, weak })),
      });
    }
  }
  // Imports come in any order.
  for (const { runs } of series.values()) runs.sort((left, right) => left.atMs - right.atMs);
  return [...series.values()];
}
