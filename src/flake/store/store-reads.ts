import type { Kysely } from 'kysely';

import { aliasText, readAliasText } from './aliases.js';
import { readAttempts, readHistory, readSignatures } from './read-attempts.js';
import { readCounts, readDurations, readFailingDays, readSuiteDurations } from './read-counts.js';
import { readRuns } from './read-runs.js';
import type { RunRecord } from './record.js';
import type { Schema } from './schema.js';
import type {
  AttemptRow,
  CountRow,
  DayRow,
  DurationRow,
  Filter,
  FlakeStore,
  HistoryRow,
  SignatureRow,
  SuiteDurationRow,
} from './store.js';

type Reads = Pick<
  FlakeStore,
  | 'hasAliases'
  | 'counts'
  | 'failingDays'
  | 'durations'
  | 'suiteDurations'
  | 'history'
  | 'attempts'
  | 'signatures'
  | 'readRuns'
  | 'read'
>;

/** Reads that are the same for every engine. */
export class StoreReads implements Reads {
  readonly location: string;
  protected readonly kysely: Kysely<Schema>;
  readonly #errorOf: (error: unknown, location: string) => unknown;

  /** @param errorOf gives what the engine threw as an error of the store */
  constructor(kysely: Kysely<Schema>, location: string, errorOf: (error: unknown, location: string) => unknown) {
    this.kysely = kysely;
    this.location = location;
    this.#errorOf = errorOf;
  }

  async read<T>(query: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    try {
      return await query(this.kysely);
    } catch (error) {
      throw this.#errorOf(error, this.location);
    }
  }

  async hasAliases(aliases: Readonly<Record<string, string>>): Promise<boolean> {
    return (await this.read(readAliasText)) === aliasText(aliases);
  }

  async counts(filter: Filter = {}): Promise<CountRow[]> {
    return await this.read((db) => readCounts(db, filter));
  }

  async failingDays(filter: Filter = {}): Promise<DayRow[]> {
    return await this.read((db) => readFailingDays(db, filter));
  }

  async durations(environment?: string): Promise<DurationRow[]> {
    return await this.read((db) => readDurations(db, environment));
  }

  async suiteDurations(): Promise<SuiteDurationRow[]> {
    return await this.read(readSuiteDurations);
  }

  async history(filter: Filter, limit?: number): Promise<HistoryRow[]> {
    return await this.read((db) => readHistory(db, filter, limit));
  }

  async attempts(filter: Filter = {}): Promise<AttemptRow[]> {
    return await this.read((db) => readAttempts(db, filter));
  }

  async signatures(filter: Filter = {}): Promise<SignatureRow[]> {
    return await this.read((db) => readSignatures(db, filter));
  }

  async *readRuns(filter: Pick<Filter, 'sinceMs' | 'untilMs'> = {}): AsyncGenerator<RunRecord> {
    try {
      yield* readRuns(this.kysely, filter);
    } catch (error) {
      throw this.#errorOf(error, this.location);
    }
  }
}
