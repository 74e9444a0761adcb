import type { Status } from '../../results/model.js';

/**
 * What the store takes in and gives back: one `RunRecord` is one suite (shard) in one environment, with every attempt of
 * every test. A `RunResult`, a CSV of minikube and the rows of another database all become these first.
 */
export interface RunRecord {
  /**
   * Identity of the run, the same wherever it is recorded: host, repository, CI run, CI attempt and cell. A run whose uid
   * is known is not stored again, so import and merge can be repeated.
   */
  readonly uid: string;
  /** `owner/name`, '' when unknown. */
  readonly repository: string;
  readonly environment: string;
  /** Name of the suite with its shard, `e2e` or `e2e 1/2`; runs of one suite are compared in size. */
  readonly suite: string;
  readonly commit?: CommitRecord;
  readonly branch?: string;
  readonly pullRequest?: number;
  /** Page of the CI job. */
  readonly url?: string;
  readonly startedAtMs: number;
  readonly durationMs?: number;
  /** False for a killed run: a later record of the same uid that is complete takes its place. */
  readonly complete: boolean;
  /** Why the run says nothing about its tests (setup failed, most tests failed …); absent for a run that counts. */
  readonly excluded?: string;
  /** Program that wrote the record, such as `mk-ci 1.2.0` or `minikube-csv`. */
  readonly origin: string;
  readonly results: readonly ResultRecord[];
}

export interface CommitRecord {
  readonly sha: string;
  /** Hash of the tree: equal trees are the same code. */
  readonly treeSha?: string;
  /** Number of first parents before it; orders commits where times lie. */
  readonly position?: number;
}

/** One attempt of one test. */
export interface ResultRecord {
  readonly package: string;
  readonly name: string;
  /** 1 for the first; unique with package and name within a run. */
  readonly attempt: number;
  readonly status: Status;
  readonly durationMs?: number;
  readonly failure?: FailureRecord;
}

export interface FailureRecord {
  readonly message: string;
  readonly text?: string;
  readonly kind?: string;
}

/** Statuses as stored. Numbers never change their meaning; 0 and 1 take no space in a SQLite row. */
export const STATUS_CODES = {
  passed: 0,
  failed: 1,
  skipped: 2,
  error: 3,
  timedout: 4,
  notrun: 5,
} as const satisfies Record<Status, number>;

const STATUS_OF_CODE: readonly Status[] = ['passed', 'failed', 'skipped', 'error', 'timedout', 'notrun'];

/** @throws {RangeError} for a number that is no status, which only a damaged row holds */
export function statusOfCode(code: number): Status {
  const status = STATUS_OF_CODE[code];
  if (status === undefined) throw new RangeError(`no status has the number ${code}`);
  return status;
}

/**
 * Which statuses say something about a test: a pass, or a failure of its own. `error` is infrastructure, `skipped` and
 * `notrun` did not come to an end; none of the three is in a numerator or denominator.
 */
export function outcomeOf(status: Status): 'pass' | 'fail' | undefined {
  switch (status) {
    case 'passed':
      return 'pass';
    case 'failed':
    case 'timedout':
      return 'fail';
    case 'skipped':
    case 'error':
    case 'notrun':
      return undefined;
    default:
      return status satisfies never;
  }
}

export const DAY_MS = 86_400_000;

/** Day of a time in UTC, counted from 1970-01-01. */
export function dayOf(timeMs: number): number {
  return Math.floor(timeMs / DAY_MS);
}

/** `2026-01-31` of a day number. */
export function formatDay(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}
