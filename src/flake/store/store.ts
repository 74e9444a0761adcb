import type { Kysely } from 'kysely';

import type { RunResult, Status } from '../../results/model.js';
import type { RunRecord } from './record.js';
import type { RecordMeta } from './records-of-run.js';
import type { Schema } from './schema.js';

/**
 * The flake database. One writer at a time; any number of readers.
 *
 * A run is stored whole or not at all, and only once: its uid is its identity. Reads see only whole runs. Rates come from
 * a daily rollup that is written in the same transaction as the results, so they cost the same at any size of history.
 */
export interface FlakeStore extends AsyncDisposable {
  readonly engine: 'sqlite' | 'postgres';
  /** Path, or URL without password. */
  readonly location: string;

  /** Stores every cell of a run. @throws {MkCiError} `DB_BUSY`, `DB_CORRUPT`, `HOST_DISK_FULL` */
  recordRun(run: RunResult, meta?: RecordMeta): Promise<WriteSummary>;
  /**
   * Stores records from elsewhere, in transactions of many runs.
   *
   * `rollup: 'deferred'` leaves the rollup to {@link rebuildRollup}, which the caller owes; a database whose rollup is
   * owed does so itself when it is next opened for writing.
   */
  write(records: Iterable<RunRecord> | AsyncIterable<RunRecord>, options?: WriteOptions): Promise<WriteSummary>;
  /** Makes the rollup again from the raw results; days that were pruned keep their sums. */
  rebuildRollup(): Promise<void>;

  /**
   * Makes renamed tests one with what they are called now, in every read but {@link readRuns}: old name to new name, both
   * may end in `*`. Replaces the aliases set before; {@link hasAliases} tells whether that is needed.
   */
  setAliases(aliases: Readonly<Record<string, string>>): Promise<void>;
  /** Whether the database carries exactly these aliases; new tests may still lack theirs after a write. */
  hasAliases(aliases: Readonly<Record<string, string>>): Promise<boolean>;

  /** Looks for damage. @returns what is wrong, one line each; empty for a sound database */
  check(): Promise<string[]>;

  /**
   * Drops raw results of runs that began before a time, rounded down to a UTC day; their daily sums stay.
   *
   * @returns runs whose results are gone
   */
  prune(beforeMs: number): Promise<number>;

  /** Sums per test and environment. Tests without a run in the window are left out. */
  counts(filter?: Filter): Promise<CountRow[]>;
  /** Failures and attempts by UTC day, for the tests that failed at least once in the window. */
  failingDays(filter?: Filter): Promise<DayRow[]>;
  /** Mean duration of passed attempts, for planning shards; tests that never passed have their failed attempts' mean. */
  durations(environment?: string): Promise<DurationRow[]>;
  /** Mean duration of whole cells, for the order in which they start; runs that were excluded or cut off do not count. */
  suiteDurations(): Promise<SuiteDurationRow[]>;
  /** Attempts of the tests that match, newest run first; at most `limit` (default 1,000) of them. */
  history(filter: Filter, limit?: number): Promise<HistoryRow[]>;

  /**
   * What the failed attempts that match have in common: one row for each test, environment and cluster of signatures, most
   * frequent first. Failures without a message have none.
   */
  signatures(filter?: Filter): Promise<SignatureRow[]>;

  /** Attempts that match in the order of recording, without runs' details: for formulas over every single row. */
  attempts(filter?: Filter): Promise<AttemptRow[]>;
  /** Whole runs in the order of recording, as they were written; for export and merge. Pruned runs are left out. */
  readRuns(filter?: Pick<Filter, 'sinceMs' | 'untilMs'>): AsyncIterable<RunRecord>;

  /** Runs a query of this folder that is not worth a method; its errors come out as of the other reads. */
  read<T>(query: (db: Kysely<Schema>) => Promise<T>): Promise<T>;

  /**
   * Changes whenever what a read would give may have changed: what was read before with the same value is still true.
   * Cheap enough to ask before every read.
   */
  dataVersion(): Promise<string>;

  /**
   * Every environment, by name. What was read of the runs of one is true as long as its `version` is the same, whatever came in
   * for others.
   */
  environments(): Promise<EnvironmentVersion[]>;

  close(): Promise<void>;
}

export interface EnvironmentVersion {
  readonly id: number;
  readonly name: string;
  readonly version: string;
}

export interface WriteOptions {
  readonly rollup?: 'live' | 'deferred';
  /** Attempts written in one transaction, rounded up to whole runs. @default 20000 */
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
}

export interface WriteSummary {
  /** Runs (cells) that were new. */
  readonly runs: number;
  readonly results: number;
  /** Runs that were there already. */
  readonly known: number;
  /** Incomplete runs that a complete record replaced. */
  readonly replaced: number;
  /** Runs stored but left out of rates, with the reason of each. */
  readonly excluded: readonly { readonly uid: string; readonly reason: string }[];
}

/** Every given member narrows. `*` in names stands for any text. */
export interface Filter {
  readonly repository?: string;
  readonly environment?: string;
  readonly package?: string;
  readonly test?: string;
  /** Earliest time of a run, inclusive. Whole UTC days where sums are read. */
  readonly sinceMs?: number;
  /** Latest time of a run, exclusive. */
  readonly untilMs?: number;
  /** `base`: no pull request. @default 'all' */
  readonly runs?: 'all' | 'base' | 'pull-requests';
}

/** Who a row is about. */
export interface SeriesName {
  readonly repository: string;
  readonly environment: string;
  readonly package: string;
  readonly test: string;
}

export interface CountRow extends SeriesName {
  readonly seriesId: number;
  /** Attempts by status. */
  readonly counts: Readonly<Record<Status, number>>;
  /** Runs in which an attempt passed or failed. */
  readonly runs: number;
  /** Of these, runs whose last outcome was a failure. */
  readonly failedRuns: number;
  /** Of these, runs with both outcomes. */
  readonly mixedRuns: number;
  /** Commits with at least one failed attempt, and of these the ones with a passed attempt too. */
  readonly failingCommits: number;
  readonly mixedCommits: number;
  readonly passedMs: number;
  readonly failedMs: number;
  /** Days (and kinds of run) with an attempt that passed or failed, for the dispersion. */
  readonly clusters: number;
  /** Sum of failures² ÷ attempts over these. */
  readonly clusterSquares: number;
  /** Days since 1970-01-01 of the first and last run in the window. */
  readonly firstDay: number;
  readonly lastDay: number;
}

export interface DayRow {
  readonly seriesId: number;
  readonly day: number;
  readonly failures: number;
  readonly attempts: number;
}

export interface SignatureRow extends SeriesName {
  /** Of the cluster's first signature; stays the same while the normaliser's version does. */
  readonly key: string;
  /** A failure of this test with everything that changes from run to run replaced by `<token>`s. */
  readonly text: string;
  /** Names no cause (`exit status 1`): never a reason to excuse. */
  readonly weak: boolean;
  /** Failed attempts, and the commits they were on. */
  readonly failures: number;
  readonly commits: number;
  /** Of runs, in the window and on this test. */
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  /** When any test showed it first, also before the window. */
  readonly bornAtMs: number;
}

export interface DurationRow extends SeriesName {
  readonly durationMs: number;
  /** Attempts that the mean is over. */
  readonly attempts: number;
}

export interface SuiteDurationRow {
  readonly environment: string;
  /** A shard is a suite of its own here: `e2e 1/4`. */
  readonly suite: string;
  readonly durationMs: number;
  /** Runs that the mean is over. */
  readonly runs: number;
}

export interface AttemptRow {
  readonly environment: string;
  readonly package: string;
  readonly test: string;
  readonly status: Status;
  readonly durationMs: number | undefined;
}

export interface HistoryRow extends SeriesName {
  readonly runUid: string;
  readonly suite: string;
  readonly commit: string | undefined;
  readonly position: number | undefined;
  readonly branch: string | undefined;
  readonly pullRequest: number | undefined;
  readonly url: string | undefined;
  readonly startedAtMs: number;
  readonly excluded: string | undefined;
  readonly attempt: number;
  readonly status: Status;
  readonly durationMs: number | undefined;
  readonly message: string | undefined;
}
