import type { TestId } from '../../model.js';
import { testId } from '../document/names.js';
import { parseMoment, parseSecondsToMs, parseWhole } from '../document/numbers.js';

export type Attributes = ReadonlyMap<string, string>;

/** What the attributes of a `<testcase>` say. */
export interface CaseFacts {
  readonly test: TestId;
  readonly time: number | 'negative' | undefined;
  readonly at: string | undefined;
  readonly file: string | undefined;
  readonly line: number | undefined;
  /** Set by googletest and others when a test was not run although no `<skipped>` stands in it. */
  readonly status: string | undefined;
  /** Attributes of no known meaning, such as `cluster_instance`. */
  readonly others: readonly (readonly [string, string])[];
}

const KNOWN = new Set(
  'name classname class file line time duration timestamp status result assertions hostname id'.split(' '),
);
const OTHERS_LIMIT = 1000;

/** @param suitePath names of the suites around the case, joined by `/`: the package when `classname` is missing */
export function caseFacts(attributes: Attributes, suitePath: string): CaseFacts {
  const classname = attributes.get('classname') ?? attributes.get('class') ?? '';
  const file = attributes.get('file');
  return {
    test: testId(classname.trim() === '' ? suitePath : classname, attributes.get('name') ?? attributes.get('id') ?? ''),
    time: timeOf(attributes),
    at: parseMoment(attributes.get('timestamp')),
    file: file === '' ? undefined : file,
    line: parseWhole(attributes.get('line')),
    status: attributes.get('result') === 'suppressed' ? 'notrun' : attributes.get('status')?.toLowerCase(),
    others: [...attributes].filter(([key, value]) => !KNOWN.has(key) && value !== '' && value.length <= OTHERS_LIMIT),
  };
}

export function timeOf(attributes: Attributes): number | 'negative' | undefined {
  return parseSecondsToMs(attributes.get('time') ?? attributes.get('duration'));
}

/** Counts that a `<testsuite>` claims in its attributes. */
export interface Claim {
  readonly tests: number | undefined;
  readonly failures: number | undefined;
  readonly errors: number | undefined;
  readonly skipped: number | undefined;
}

export function claimOf(attributes: Attributes): Claim {
  return {
    tests: parseWhole(attributes.get('tests')),
    failures: parseWhole(attributes.get('failures')),
    errors: parseWhole(attributes.get('errors')),
    skipped: parseWhole(attributes.get('skipped') ?? attributes.get('skips') ?? attributes.get('skip')),
  };
}

/** What the cases of a suite came to, with those of the suites in it. */
export interface Tally {
  cases: number;
  failed: number;
  errors: number;
  skipped: number;
  /** Further `<failure>` elements of one case, and reruns: some tools count these too. */
  extraFailures: number;
  extraErrors: number;
  reruns: number;
}

export function emptyTally(): Tally {
  return { cases: 0, failed: 0, errors: 0, skipped: 0, extraFailures: 0, extraErrors: 0, reruns: 0 };
}

export function addTally(into: Tally, from: Tally): void {
  into.cases += from.cases;
  into.failed += from.failed;
  into.errors += from.errors;
  into.skipped += from.skipped;
  into.extraFailures += from.extraFailures;
  into.extraErrors += from.extraErrors;
  into.reruns += from.reruns;
}

/**
 * Whether a suite's attributes contradict its cases in every way of counting that is in use: with or without skipped
 * cases in `tests`, cases or `<failure>` elements, reruns counted or not, nested suites counted or not.
 *
 * @param own the cases directly in the suite; `all` those of nested suites too
 * @returns what disagrees, in words, or `undefined`
 */
export function disagreement(claim: Claim, own: Tally, all: Tally): string | undefined {
  const parts: string[] = [];
  const check = (word: string, claimed: number | undefined, ways: (tally: Tally) => readonly number[]): void => {
    if (claimed === undefined || ways(own).includes(claimed) || ways(all).includes(claimed)) return;
    parts.push(`${word}="${claimed}" but ${ways(all)[0] ?? 0} found`);
  };
  check('tests', claim.tests, (t) => [t.cases, t.cases - t.skipped, t.cases + t.reruns]);
  check('failures', claim.failures, (t) => [t.failed, t.failed + t.extraFailures, t.failed + t.errors]);
  check('errors', claim.errors, (t) => [t.errors, t.errors + t.extraErrors]);
  check('skipped', claim.skipped, (t) => [t.skipped]);
  return parts.length === 0 ? undefined : parts.join(', ');
}
