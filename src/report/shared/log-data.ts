/** What the writer of logs leaves and the page reads: the index of one log, and one chunk. */

import { readNumbers } from './varint.js';
import type { Fold } from './folds.js';

/** Rows of a chunk; the last one of a log has fewer. */
export const CHUNK_ROWS = 4000;
/** A chunk also ends at this many characters, so that one long line does not make one large chunk. */
export const CHUNK_CHARACTERS = 1 << 20;
/** A line longer than this goes on in further rows. */
export const ROW_CHARACTERS = 1 << 16;

/** Whose lines: one attempt of a test, a package (`name` is ''), or nobody (index 0, both ''). */
export interface LogOwner {
  readonly package: string;
  readonly name: string;
  /** 1 for the first attempt of the test in this log, counting up. */
  readonly occurrence: number;
  readonly rows: number;
  readonly firstRow: number;
  readonly lastRow: number;
  /** Row of the first line that says `fail`, or error; -1 when none does. */
  readonly firstErrorRow: number;
}

export interface ChunkInfo {
  readonly firstRow: number;
  readonly rows: number;
  readonly errors: number;
  /** Milliseconds since 1970 of the first and last line with a time; absent when none has. */
  readonly firstAt?: number;
  readonly lastAt?: number;
}

/** First line of the index, JSON; sections of bytes follow it in this order, their lengths in `sections`. */
export interface IndexHead {
  readonly rows: number;
  readonly lines: number;
  readonly year: number;
  readonly chunks: readonly ChunkInfo[];
  readonly owners: readonly LogOwner[];
  readonly folds: readonly Fold[];
  /** True when there were more sections than are kept. */
  readonly foldsCut: boolean;
  readonly sections: {
    /** Runs of rows of one owner: length, owner; in order. */
    readonly spans: number;
    /** Distances between rows with an error. */
    readonly errors: number;
    /** Runs of rows that go on with the line before: distance of the first from the end of the run before, length. */
    readonly continuations: number;
    /** Bit fields of the chunks one after another, see `bloomBytes`. */
    readonly blooms: number;
  };
  /** Length of each chunk's bit field. */
  readonly bloomBytes: readonly number[];
}

/** The index of a log, unpacked. */
export interface LogIndex extends Omit<IndexHead, 'sections' | 'bloomBytes'> {
  /** First row of each span, ascending. */
  readonly spanStarts: Uint32Array;
  readonly spanOwners: Uint32Array;
  readonly errorRows: Uint32Array;
  readonly continuationStarts: Uint32Array;
  readonly continuationLengths: Uint32Array;
  readonly blooms: readonly Uint8Array[];
}

/** Reads an index as written; the sections are trusted, they come from the same program. */
export function parseIndex(bytes: Uint8Array): LogIndex {
  const lineEnd = bytes.indexOf(0x0a);
  const { sections, bloomBytes, ...head } = JSON.parse(
    new TextDecoder().decode(bytes.subarray(0, lineEnd)),
  ) as IndexHead;
  let at = lineEnd + 1;
  const take = (length: number): Uint8Array => bytes.subarray(at, (at += length));
  const spans = readNumbers(take(sections.spans));
  const spanStarts = new Uint32Array(spans.length / 2);
  const spanOwners = new Uint32Array(spans.length / 2);
  for (let index = 0, row = 0; index < spanStarts.length; index += 1) {
    spanStarts[index] = row;
    row += spans[index * 2] ?? 0;
    spanOwners[index] = spans[index * 2 + 1] ?? 0;
  }
  const errorRows = Uint32Array.from(readNumbers(take(sections.errors)));
  for (let index = 1; index < errorRows.length; index += 1) {
    errorRows[index] = (errorRows[index] ?? 0) + (errorRows[index - 1] ?? 0);
  }
  const runs = readNumbers(take(sections.continuations));
  const continuationStarts = new Uint32Array(runs.length / 2);
  const continuationLengths = new Uint32Array(runs.length / 2);
  for (let index = 0, row = 0; index < continuationStarts.length; index += 1) {
    row += runs[index * 2] ?? 0;
    continuationStarts[index] = row;
    continuationLengths[index] = runs[index * 2 + 1] ?? 0;
    row += continuationLengths[index] ?? 0;
  }
  const blooms = bloomBytes.map((length) => take(length));
  return { ...head, spanStarts, spanOwners, errorRows, continuationStarts, continuationLengths, blooms };
}

/** First line of a chunk, JSON; its rows follow, one a line. */
export interface ChunkHead {
  readonly firstRow: number;
  /** Milliseconds between one row's time and the next, from the format, not from the text; starts at 0. Absent when it tells none. */
  readonly times?: readonly number[];
}

export interface Chunk {
  readonly firstRow: number;
  readonly lines: readonly string[];
  /** Milliseconds since 1970 of each row; NaN where unknown. */
  readonly times?: Float64Array;
}

export function parseChunk(text: string): Chunk {
  const lineEnd = text.indexOf('\n');
  const head = JSON.parse(text.slice(0, lineEnd)) as ChunkHead;
  const lines = text.slice(lineEnd + 1).split('\n');
  if (head.times === undefined) return { firstRow: head.firstRow, lines };
  const times = new Float64Array(lines.length).fill(Number.NaN);
  let at = 0;
  head.times.forEach((step, index) => {
    at += step;
    if (at !== 0) times[index] = at;
  });
  return { firstRow: head.firstRow, lines, times };
}

/** Index of the last element that is not larger than `value` in ascending numbers; -1 when all are larger. */
export function lastAtMost(sorted: Uint32Array | readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Number of the line that a row belongs to, from 1. */
export function lineOfRow(index: Pick<LogIndex, 'continuationStarts' | 'continuationLengths'>, row: number): number {
  // Continuations are rare: one run for each line longer than a row.
  let line = row + 1;
  for (let run = 0; run < index.continuationStarts.length; run += 1) {
    const start = index.continuationStarts[run] ?? 0;
    if (start > row) break;
    line -= Math.min(index.continuationLengths[run] ?? 0, row - start + 1);
  }
  return line;
}

/** First row of a line; lines count from 1. */
export function rowOfLine(index: Pick<LogIndex, 'continuationStarts' | 'continuationLengths'>, line: number): number {
  let row = line - 1;
  for (let run = 0; run < index.continuationStarts.length; run += 1) {
    if ((index.continuationStarts[run] ?? 0) > row) break;
    row += index.continuationLengths[run] ?? 0;
  }
  return row;
}

export function ownerOfRow(index: Pick<LogIndex, 'spanStarts' | 'spanOwners'>, row: number): number {
  return index.spanOwners[lastAtMost(index.spanStarts, row)] ?? 0;
}
