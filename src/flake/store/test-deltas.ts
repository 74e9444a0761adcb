import { outcomeOf, type ResultRecord } from './record.js';

/** What one run adds to the daily row of one test. Durations in ms; a run is failed when its last outcome is. */
export interface TestDelta {
  readonly package: string;
  readonly name: string;
  passed: number;
  failed: number;
  skipped: number;
  error: number;
  timedout: number;
  notrun: number;
  /** 1 when an attempt passed or failed, else 0; the next two likewise. */
  runs: number;
  failedRuns: number;
  /** Passed and failed attempts in one run. */
  mixedRuns: number;
  passedMs: number;
  failedMs: number;
}

/** Columns of `daily` that are sums, in the order in which writers bind them. */
export const DELTA_COLUMNS = [
  ['passed', 'passed'],
  ['failed', 'failed'],
  ['skipped', 'skipped'],
  ['error', 'error'],
  ['timedout', 'timedout'],
  ['notrun', 'notrun'],
  ['runs', 'runs'],
  ['failed_runs', 'failedRuns'],
  ['mixed_runs', 'mixedRuns'],
  ['passed_ms', 'passedMs'],
  ['failed_ms', 'failedMs'],
] as const satisfies readonly (readonly [string, keyof TestDelta])[];

/** Sums the attempts of each test. The order of attempts decides whether a run failed, not the order of the list. */
export function testDeltas(results: readonly ResultRecord[]): TestDelta[] {
  const packages = new Map<string, Map<string, TestDelta>>();
  const deltas: TestDelta[] = [];
  const lastAttempt = new Map<TestDelta, number>();
  for (const result of results) {
    let tests = packages.get(result.package);
    if (tests === undefined) {
      tests = new Map();
      packages.set(result.package, tests);
    }
    let delta = tests.get(result.name);
    if (delta === undefined) {
      delta = emptyDelta(result.package, result.name);
      tests.set(result.name, delta);
      deltas.push(delta);
    }
    delta[result.status] += 1;
    const outcome = outcomeOf(result.status);
    if (outcome === undefined) continue;
    if (outcome === 'pass') delta.passedMs += Math.round(result.durationMs ?? 0);
    else delta.failedMs += Math.round(result.durationMs ?? 0);
    delta.runs = 1;
    if (result.attempt >= (lastAttempt.get(delta) ?? 0)) {
      lastAttempt.set(delta, result.attempt);
      delta.failedRuns = outcome === 'fail' ? 1 : 0;
    }
    delta.mixedRuns = delta.passed > 0 && delta.failed + delta.timedout > 0 ? 1 : 0;
  }
  return deltas;
}

function emptyDelta(pkg: string, name: string): TestDelta {
  return {
    package: pkg,
    name,
    passed: 0,
    failed: 0,
    skipped: 0,
    error: 0,
    timedout: 0,
    notrun: 0,
    runs: 0,
    failedRuns: 0,
    mixedRuns: 0,
    passedMs: 0,
    failedMs: 0,
  };
}
