import type { AttemptRow } from './store/store.js';
import { csvLine } from './export/csv.js';

/** One line of minikube's `flake_rates.csv`. */
export interface MinikubeRate {
  readonly environment: string;
  readonly test: string;
  readonly failed: number;
  readonly attempts: number;
  /** float32, 0…1. */
  readonly flakeRate: number;
  /** float32, seconds. */
  readonly durationSeconds: number;
}

/**
 * Flake rates as minikube computes them: failed ÷ (passed + failed) per environment and test, and the mean duration over
 * the same rows, both in float32 in the order of the rows. Nothing is said of tests that were only skipped.
 *
 * A name that stands in several packages of an environment is written `package/name`; minikube has no packages.
 *
 * @param rows attempts in the order of recording; statuses other than passed, failed and timedout are left out
 * @see {@link https://github.com/kubernetes/minikube/blob/master/hack/jenkins/test-flake-chart/compute_flake_rate.go}
 */
export function minikubeRates(rows: readonly AttemptRow[]): MinikubeRate[] {
  const packages = new Map<string, Set<string>>();
  for (const { environment, test, package: pkg } of rows) {
    const key = `${environment}\0${test}`;
    packages.set(key, (packages.get(key) ?? new Set()).add(pkg));
  }
  const sums = new Map<
    string,
    { environment: string; test: string; failed: number; attempts: number; seconds: number }
  >();
  for (const { environment, package: pkg, test, status, durationMs } of rows) {
    if (status !== 'passed' && status !== 'failed' && status !== 'timedout') continue;
    const name = (packages.get(`${environment}\0${test}`)?.size ?? 0) > 1 ? `${pkg}/${test}` : test;
    const key = `${environment}\0${name}`;
    let sum = sums.get(key);
    if (sum === undefined) {
      sum = { environment, test: name, failed: 0, attempts: 0, seconds: 0 };
      sums.set(key, sum);
    }
    sum.attempts += 1;
    if (status !== 'passed') sum.failed += 1;
    sum.seconds = Math.fround(sum.seconds + Math.fround((durationMs ?? 0) / 1000));
  }
  return [...sums.values()]
    .map(({ environment, test, failed, attempts, seconds }) => ({
      environment,
      test,
      failed,
      attempts,
      flakeRate: Math.fround(failed / attempts),
      durationSeconds: Math.fround(seconds / attempts),
    }))
    .sort((left, right) => compare(left.environment, right.environment) || compare(left.test, right.test));
}

/** The file itself. minikube writes its lines in random order; here they are sorted. */
export function formatMinikubeRates(rates: readonly MinikubeRate[]): string {
  const lines = rates.map(({ environment, test, flakeRate, durationSeconds }) =>
    csvLine([environment, test, goFixed(Math.fround(flakeRate * 100), 2), goFixed(durationSeconds, 3)]),
  );
  return ['Environment,Test,Flake Rate,Duration', ...lines, ''].join('\n');
}

/**
 * `%.<digits>f` of Go for a float32: exact halves go to the even digit, where JavaScript goes up.
 *
 * @param value a float32 below 2^33; scaled by at most 1000 it is exact in a double
 */
export function goFixed(value: number, digits: 2 | 3): string {
  const scaled = value * 10 ** digits;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 === 1);
  return ((up ? floor + 1 : floor) / 10 ** digits).toFixed(digits);
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
