import type { ReadEvent } from './events.js';

/** Formats of test output that mk-ci reads. */
export const FORMATS = [
  'go-json',
  'go-text',
  'junit',
  'ctrf',
  'tap',
  'vitest-json',
  'jest-json',
  'mocha-json',
  'playwright-json',
  'gopogh-summary',
  'xunit',
  'nunit',
  'trx',
  'mk-ci',
] as const;

export type Format = (typeof FORMATS)[number];

export interface ReaderOptions {
  /** Tests that started and never ended get `timedout` in place of `notrun`: the suite ran into its time limit. */
  readonly timedOut?: boolean;
  /** Absolute folder to which paths that identify tests are made relative, such as the folder a suite ran in. */
  readonly baseFolder?: string;
}

/**
 * A reader turns the text of one test output into events. It is a push parser without I/O: pieces of any size go in, in
 * order, events come out through `emit`, and splitting the input elsewhere changes nothing.
 *
 * Rules for all readers: never throw for what the input holds (emit a `repair`, or `RES_MALFORMED` from `end()` when
 * nothing at all could be read); hold memory bounded by the number of tests and never by the length of the log; every
 * test that started ends, at the latest in `end()`, as `notrun` or `timedout`; NUL in names becomes U+FFFD.
 */
export interface Reader {
  readonly format: Format;
  /** Text decoded from UTF-8 or UTF-16, without a byte order mark. */
  write(piece: string): void;
  /** The input is complete, or was cut off here. */
  end(): void;
}

export type Emit = (event: ReadEvent) => void;

export type CreateReader = (emit: Emit, options?: ReaderOptions) => Reader;
