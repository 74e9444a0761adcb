/**
 * The words for what came out of tests. Everything that produces results (the runner, the readers of foreign formats,
 * the merge of shards) ends in these types, everything that shows or stores them starts from these types.
 */

/**
 * How one attempt of a test ended: `failed` is an assertion, `error` is everything else that is not the test's fault
 * (infrastructure, setup, build), `timedout` was running when a time limit struck, `notrun` started and never ended.
 */
export type Status = 'passed' | 'failed' | 'skipped' | 'error' | 'timedout' | 'notrun';

export const STATUSES = [
  'passed',
  'failed',
  'skipped',
  'error',
  'timedout',
  'notrun',
] as const satisfies readonly Status[];

/** Statuses that make a run fail. */
export function isBad(status: Status): boolean {
  return status !== 'passed' && status !== 'skipped';
}

/** Identity of a test within a run and environment; the same in every run, whatever its result. */
export interface TestId {
  /** Go import path, JUnit `classname`, file of a JavaScript suite; '' when the format has none. */
  readonly package: string;
  /** Full name, subtests separated by `/` in Go, by ` > ` in JavaScript. */
  readonly name: string;
}

/** Key of a test for maps; unique because neither part may hold a NUL byte (readers replace it by U+FFFD). */
export function testKey({ package: pkg, name }: TestId): string {
  return `${pkg}\0${name}`;
}

/** Why an attempt did not pass: the lines that say so, not the whole log. */
export interface Failure {
  /** First line that names the cause; at most 1,000 characters. */
  readonly message: string;
  /** The lines around it: assertion, panic with its goroutine, race, stack; at most 64 KiB, cut in the middle with a note. */
  readonly text?: string;
  readonly kind?: 'assertion' | 'panic' | 'race' | 'timeout' | 'build' | 'setup' | 'exit' | 'other';
  readonly file?: string;
  /** 1-based. */
  readonly line?: number;
}

/** One execution of one test. */
export interface TestAttempt {
  /** 1 for the first; counts on over reruns inside a suite and over repeated suites alike. */
  readonly attempt: number;
  readonly status: Status;
  /** ISO 8601 in UTC; absent when the format does not tell. */
  readonly startedAt?: string;
  /** Absent when the format does not tell or tells nonsense (a negative time). */
  readonly durationMs?: number;
  readonly failure?: Failure;
  /** Reason given for a skip. */
  readonly skipReason?: string;
  /** 1-based number of the attempt of the cell in which this one ran, 1 for foreign files. */
  readonly cellAttempt: number;
}

/** A test with all its attempts in one cell, oldest first. */
export interface TestResult {
  readonly id: TestId;
  readonly attempts: readonly TestAttempt[];
  /** Status of the last attempt that says something: executed beats skipped. */
  readonly status: Status;
  /** Both a passed and a failed attempt; the status is then that of the last one. */
  readonly flaky: boolean;
  readonly file?: string;
  readonly line?: number;
  /** Key-value pairs that the test published (Go `attr`, JUnit properties, tags). */
  readonly attributes?: Readonly<Record<string, string>>;
  readonly owner?: string;
}

/** A Go package, JUnit suite or test file: it can fail although all its tests passed. */
export interface PackageResult {
  readonly package: string;
  readonly status: Status;
  readonly durationMs?: number;
  readonly failure?: Failure;
}

/** Something irregular in an input that a reader recovered from, or could not. Shown in the report. */
export interface Repair {
  /** Stable word, such as `glued-marker`, `non-json-line`, `attributes-disagree`, `truncated`, `reattributed-output`. */
  readonly kind: string;
  readonly message: string;
  /** 1-based line of the input, when known. */
  readonly line?: number;
  readonly test?: TestId;
  /** How often, when the same thing was folded. @default 1 */
  readonly count?: number;
}

/** How many tests are in each status. `flaky` ones are counted in their status too. */
export type Counts = Readonly<Record<Status | 'flaky', number>>;

/** Where the code under test comes from. Every field is absent when unknown. */
export interface SourceInfo {
  /** `owner/name` or a URL without credentials. */
  readonly repository?: string;
  readonly commit?: string;
  readonly branch?: string;
  /** Number of the pull request. */
  readonly pullRequest?: number;
  /** Page of the CI job. */
  readonly jobUrl?: string;
  /** Work tree differs from the commit. */
  readonly dirty?: boolean;
}

/** Where tests run: what makes two results of one test comparable. */
export interface EnvironmentInfo {
  /** Such as `docker-containerd-v1.36`; unique in a run. */
  readonly name: string;
  readonly driver?: string;
  readonly containerRuntime?: string;
  readonly kubernetesVersion?: string;
  readonly nodes?: number;
  readonly os?: string;
  readonly architecture?: string;
}

/** i of n, 1-based. */
export interface ShardInfo {
  readonly index: number;
  readonly total: number;
}

/** One suite (shard) in one environment, as planned. */
export interface CellInfo {
  /** Unique in a run, usable as a folder name: `<environment>.<suite>[.<i>-of-<n>]`. */
  readonly id: string;
  readonly environment: string;
  readonly suite: string;
  readonly shard?: ShardInfo;
}

/** One start of a suite's command. */
export interface CellAttempt {
  readonly attempt: number;
  readonly command: readonly string[];
  /** Format of its output as configured or detected. */
  readonly format?: string;
  /** Folder below the run folder that holds stdout.log, stderr.log and artifacts; absent for foreign files. */
  readonly folder?: string;
  readonly startedAt: string;
  readonly durationMs?: number;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly timedOut?: boolean;
}

/** A thing that went wrong outside any test. */
export interface RunError {
  /** Code of the error catalogue. */
  readonly code: string;
  readonly message: string;
  readonly advice?: string;
  readonly cell?: string;
  readonly environment?: string;
  readonly output?: string;
  /** True when infrastructure failed: such a run never passes. */
  readonly infrastructure: boolean;
}

export interface CellResult extends CellInfo {
  readonly attempts: readonly CellAttempt[];
  readonly tests: readonly TestResult[];
  readonly packages: readonly PackageResult[];
  readonly repairs: readonly Repair[];
  readonly startedAt?: string;
  readonly durationMs?: number;
  /** `notrun` while no end was seen. */
  readonly status: Status;
}

/** A named step of a cluster's or a run's life, for the timeline. */
export interface Phase {
  /** `cluster:<name>` or `run`. */
  readonly scope: string;
  readonly environment?: string;
  readonly name: string;
  readonly startedAt: string;
  readonly durationMs?: number;
  readonly status: 'ok' | 'failed' | 'unfinished';
  readonly message?: string;
}

/** A whole run: live, read back, merged or made from foreign files. */
export interface RunResult {
  readonly runId: string;
  readonly toolVersion: string;
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly title?: string;
  readonly source: SourceInfo;
  readonly environments: readonly EnvironmentInfo[];
  readonly cells: readonly CellResult[];
  readonly phases: readonly Phase[];
  readonly errors: readonly RunError[];
  /** Repairs that belong to no cell. */
  readonly repairs: readonly Repair[];
  /** False when the stream has no `run-ended`: killed, or still running. */
  readonly complete: boolean;
  readonly exitCode?: number;
}
