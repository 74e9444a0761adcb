import type {
  CellInfo,
  EnvironmentInfo,
  Failure,
  PackageResult,
  Phase,
  Repair,
  RunError,
  SourceInfo,
  Status,
  TestId,
} from './model.js';

/**
 * The stream that a run appends to `events.jsonl`, one JSON object a line, flushed as it happens. Reports, the database,
 * the terminal view and the merge of shards read it; nothing else is the record of a run.
 *
 * Test output is not in it: the raw bytes are in `cells/<cell>/attempt-<n>/stdout.log` and are read again, with the
 * reader of the attempt's format, when a log is shown. So the record stays small and the log is stored once.
 *
 * Readers of this stream ignore types and fields they do not know. `version` rises when an old reader would be wrong.
 */
export const EVENTS_VERSION = 1;

/** What a reader of test output finds, in the order of the input. */
export type ReadEvent =
  TestStarted | TestEnded | PackageEnded | PackageNamed | TestOutput | TestAttribute | RepairFound;

/** A new attempt of a test; the accumulator counts attempts. */
export interface TestStarted {
  readonly type: 'test-started';
  readonly test: TestId;
  /** ISO 8601 in UTC. */
  readonly at?: string;
  readonly file?: string;
  readonly line?: number;
}

/** The end of the latest attempt of a test; without a `test-started` before it, it is both. */
export interface TestEnded {
  readonly type: 'test-ended';
  readonly test: TestId;
  readonly status: Status;
  readonly at?: string;
  readonly durationMs?: number;
  readonly failure?: Failure;
  readonly skipReason?: string;
  readonly file?: string;
  readonly line?: number;
}

export interface PackageEnded extends PackageResult {
  readonly type: 'package-ended';
}

/**
 * The package of tests that came before their package was known: plain `go test` text names it in its last line. All
 * tests and output seen so far in this attempt of the cell under the package '' belong to this one.
 */
export interface PackageNamed {
  readonly type: 'package-named';
  readonly package: string;
}

/** Text printed by a test, a package or nobody in particular. Never written to `events.jsonl`. */
export interface TestOutput {
  readonly type: 'output';
  readonly test?: TestId;
  readonly package?: string;
  readonly stream?: 'stdout' | 'stderr';
  /**
   * One line without its line end, or a piece of one: a line longer than 64 KiB comes in pieces, all but the last of
   * them marked `partial`.
   */
  readonly text: string;
  readonly partial?: boolean;
  /** ISO 8601 in UTC, when the format gives a time for the line. */
  readonly at?: string;
}

export interface TestAttribute {
  readonly type: 'attribute';
  readonly test: TestId;
  readonly key: string;
  readonly value: string;
}

export interface RepairFound extends Repair {
  readonly type: 'repair';
}

/** Something that happened in an attempt of a cell. */
export type CellEvent = Exclude<ReadEvent, TestOutput> & { readonly cell: string; readonly attempt: number };

/** One line of `events.jsonl`. `at` is ISO 8601 in UTC. */
export type RunEvent =
  | {
      readonly type: 'run-started';
      readonly version: number;
      readonly at: string;
      readonly runId: string;
      readonly toolVersion: string;
      readonly title?: string;
      readonly source: SourceInfo;
      readonly environments: readonly EnvironmentInfo[];
      readonly cells: readonly CellInfo[];
    }
  | {
      readonly type: 'phase-started';
      readonly at: string;
      readonly scope: string;
      readonly environment?: string;
      readonly name: string;
    }
  | {
      readonly type: 'phase-ended';
      readonly at: string;
      readonly scope: string;
      readonly environment?: string;
      readonly name: string;
      readonly durationMs: number;
      readonly status: Exclude<Phase['status'], 'unfinished'>;
      readonly message?: string;
    }
  | { readonly type: 'cell-started'; readonly at: string; readonly cell: string }
  | {
      readonly type: 'attempt-started';
      readonly at: string;
      readonly cell: string;
      readonly attempt: number;
      readonly command: readonly string[];
      readonly format?: string;
      readonly folder?: string;
      /** What is selected when only failed tests run again; absent when all run. */
      readonly selection?: readonly TestId[];
    }
  | CellEvent
  | {
      readonly type: 'attempt-ended';
      readonly at: string;
      readonly cell: string;
      readonly attempt: number;
      readonly format?: string;
      readonly durationMs: number;
      readonly exitCode?: number;
      readonly signal?: string;
      readonly timedOut?: boolean;
    }
  | {
      readonly type: 'cell-ended';
      readonly at: string;
      readonly cell: string;
      readonly status: Status;
      readonly durationMs: number;
    }
  | ({ readonly type: 'error'; readonly at: string } & RunError)
  | { readonly type: 'run-ended'; readonly at: string; readonly exitCode: number };
