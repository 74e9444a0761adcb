/**
 * What the page is given, as JSON inside it: plain data, everything already counted, sorted and judged. Fields that are
 * usual (`attempts` of a test that ran once) are left out, because there may be 50,000 tests.
 */

import type { Counts, EnvironmentInfo, Failure, Repair, RunError, SourceInfo, Status } from '../../results/model.js';

export interface PageData {
  readonly version: 1;
  readonly run: PageRun;
  readonly verdict: Verdict;
  readonly counts: Counts & { readonly tests: number };
  /** Names that tests refer to by number. */
  readonly packages: readonly string[];
  readonly environments: readonly EnvironmentInfo[];
  readonly suites: readonly string[];
  readonly cells: readonly PageCell[];
  readonly tests: readonly PageTest[];
  /** Indexes into `tests`, in the order in which they should be read. */
  readonly failures: readonly number[];
  readonly brokenPackages: readonly PageBrokenPackage[];
  readonly errors: readonly RunError[];
  readonly repairs: readonly PageRepair[];
  readonly conservation: PageConservation;
  readonly phases: readonly PagePhase[];
  readonly logs: readonly PageLog[];
  readonly compare?: PageComparison;
  /** `folder`: blocks are scripts beside the page; `inline`: blocks are in the page. */
  readonly storage: { readonly kind: 'folder'; readonly path: string } | { readonly kind: 'inline' };
}

export interface PageRun {
  readonly id: string;
  readonly title: string;
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly durationMs?: number;
  readonly complete: boolean;
  readonly exitCode?: number;
  readonly toolVersion: string;
  readonly source: SourceInfo;
  readonly links: readonly { readonly label: string; readonly url: string }[];
}

export interface Verdict {
  readonly word: 'passed' | 'flaky' | 'failed' | 'infrastructure' | 'unfinished' | 'empty';
  readonly sentence: string;
}

export interface PageCell {
  readonly id: string;
  /** Index into `environments`, or -1 for one that the run does not describe. */
  readonly environment: number;
  readonly environmentName: string;
  readonly suite: string;
  readonly shard?: string;
  readonly status: Status;
  readonly counts: Counts;
  readonly startedAt?: string;
  readonly durationMs?: number;
  readonly attempts: readonly PageCellAttempt[];
}

export interface PageCellAttempt {
  readonly attempt: number;
  readonly command: string;
  readonly startedAt: string;
  readonly durationMs?: number;
  readonly ended?: string;
}

export interface PageTest {
  /** 12 hexadecimal digits made from package and name alone: the same in every run and environment. */
  readonly id: string;
  readonly name: string;
  /** Index into `packages`. */
  readonly pkg: number;
  /** Index into `cells`. */
  readonly cell: number;
  readonly status: Status;
  readonly flaky?: true;
  /** Of the last attempt. */
  readonly ms?: number;
  /** Start, counted from that of the run; with `attempts` each of these has its own. */
  readonly startMs?: number;
  /** Only when there was more than one, or the only one has something to say. */
  readonly attempts?: readonly PageAttempt[];
  /** Index of the parent in `tests`. */
  readonly parent?: number;
  /** Fails only because a subtest does. */
  readonly viaChild?: true;
  readonly where?: string;
  readonly owner?: string;
  readonly history?: PageHistory;
  readonly isNew?: true;
  readonly attributes?: Readonly<Record<string, string>>;
}

export interface PageAttempt {
  readonly attempt: number;
  readonly status: Status;
  readonly cellAttempt: number;
  /** Which attempt of the test within that attempt of the cell, from 1: names its lines in the log. */
  readonly occurrence: number;
  readonly startedAt?: string;
  readonly ms?: number;
  readonly message?: string;
  /** The lines that say why; cut for the page, whole in the log. */
  readonly text?: string;
  readonly textCut?: true;
  readonly kind?: NonNullable<Failure['kind']>;
  readonly where?: string;
  readonly skipReason?: string;
}

/** What a database knows of a test in one environment, before this run. */
export interface PageHistory {
  /** Runs, oldest first, at most 30: `p`assed, `f`ailed, fla`k`y, `s`kipped, `e`rror or unfinished; '' when only sums are known. */
  readonly recent: string;
  readonly failed: number;
  readonly runs: number;
  /** Failed ÷ runs with its 95 % interval, 0…1. */
  readonly rate?: number;
  readonly low?: number;
  readonly high?: number;
  /** How long it takes when it passes: the median of recent runs, or the mean when only sums are kept. */
  readonly usualMs?: number;
  readonly verdict?: string;
  readonly url?: string;
}

export interface PageBrokenPackage {
  readonly cell: number;
  readonly name: string;
  readonly status: Status;
  readonly message?: string;
  readonly text?: string;
}

export interface PageRepair extends Repair {
  readonly cell?: string;
}

export interface PageConservation {
  readonly holds: boolean;
  /** Distinct tests that started. */
  readonly started: number;
  readonly accounted: number;
}

/** One bar of the timeline. */
export interface PagePhase {
  readonly lane: string;
  readonly name: string;
  readonly kind: 'run' | 'cluster' | 'cell';
  readonly startMs: number;
  readonly durationMs: number;
  readonly status: 'ok' | 'failed' | 'unfinished';
  readonly message?: string;
  readonly cell?: number;
}

export interface PageLog {
  /** Names its blocks: `<id>-<block>`. */
  readonly id: number;
  readonly kind: 'cell' | 'cluster';
  readonly title: string;
  readonly environment?: string;
  /** Index into `cells`. */
  readonly cell?: number;
  readonly attempt?: number;
  readonly rows: number;
  readonly lines: number;
  readonly characters: number;
  readonly chunks: number;
  readonly errors: number;
  readonly firstAt?: number;
  readonly lastAt?: number;
  /** Unpacked size of each block: chunks in order, the index last. */
  readonly blockBytes: readonly number[];
}

export interface PageComparison {
  readonly title: string;
  readonly newFailures: readonly number[];
  readonly newBrokenPackages: readonly { readonly name: string; readonly cell: string }[];
  readonly fixed: readonly number[];
  readonly slower: readonly { readonly test: number; readonly beforeMs: number; readonly afterMs: number }[];
  readonly added: readonly number[];
  /** The first 500. */
  readonly removed: readonly string[];
  readonly removedCount: number;
}
