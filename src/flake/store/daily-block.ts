import { DELTA_COLUMNS, type TestDelta } from './test-deltas.js';

/**
 * The rows of `daily` of up to 256 series on one day, as one value: a rate over a month of thousands of series then reads
 * hundreds of rows and not hundreds of thousands. Pure; the tables are written by the writers and read in `window-sums.ts`.
 *
 * Format 1, numbers as varints (seven bits a byte, least first), rows by ascending slot: the gap to the slot before, doubled,
 * plus 1 when more than passes follow; then passes and their duration (as many runs as passes, all else 0), or all columns
 * of {@link DELTA_COLUMNS}. Durations are zigzag coded, because a foreign file may give negative ones.
 */
export const BLOCK_FORMAT = '1';

/** Key in `meta` of the format in which all blocks are; absent or another: the blocks say nothing. */
export const BLOCK_FORMAT_KEY = 'daily-block-format';

/** Series in a block: those with the same `id / 256`. A block with usual sums stays below a page of SQLite. */
export const BLOCK_SERIES = 256;

/** Where a sum stands in a row (the order of `DELTA_COLUMNS`), and what a window has more. */
const AT = {
  passed: 0,
  failed: 1,
  skipped: 2,
  error: 3,
  timedout: 4,
  notrun: 5,
  runs: 6,
  failedRuns: 7,
  mixedRuns: 8,
  passedMs: 9,
  failedMs: 10,
  clusters: 11,
  squares: 12,
  firstDay: 13,
  lastDay: 14,
} as const satisfies Record<keyof WindowSums, number>;
const COLUMNS = 11;
const WIDTH = 15;

/** Sums of one series in the order of `DELTA_COLUMNS`. */
export type BlockRow = readonly number[];

/** Slot in the block and its sums. */
export type BlockRows = Map<number, BlockRow>;

export function blockRowOf(delta: TestDelta): BlockRow {
  return DELTA_COLUMNS.map(([, member]) => delta[member]);
}

export function blockOf(series: number): number {
  return Math.floor(series / BLOCK_SERIES);
}

export function slotOf(series: number): number {
  return series % BLOCK_SERIES;
}

/** Adds to the sums of a slot. */
export function addToRows(rows: BlockRows, slot: number, added: BlockRow): void {
  const old = rows.get(slot);
  rows.set(slot, old === undefined ? added : old.map((value, column) => value + (added[column] ?? 0)));
}

export function encodeBlock(rows: ReadonlyMap<number, BlockRow>): Buffer {
  const bytes: number[] = [];
  let next = 0;
  for (const [slot, row] of [...rows].sort(([left], [right]) => left - right)) {
    const passed = row[AT.passed] ?? 0;
    const isPlain =
      row[AT.runs] === passed &&
      row.every((value, column) => column === AT.passed || column === AT.runs || column === AT.passedMs || value === 0);
    pushNumber(bytes, (slot - next) * 2 + (isPlain ? 0 : 1));
    next = slot + 1;
    if (isPlain) {
      pushNumber(bytes, passed);
      pushNumber(bytes, zigzag(row[AT.passedMs] ?? 0));
      continue;
    }
    for (const [column, value] of row.entries()) {
      pushNumber(bytes, column === AT.passedMs || column === AT.failedMs ? zigzag(value) : value);
    }
  }
  return Buffer.from(bytes);
}

/** @throws {RangeError} for bytes that no block has */
export function decodeBlock(bytes: Uint8Array): BlockRows {
  const rows: BlockRows = new Map();
  const reader = new BlockReader(bytes);
  while (reader.next()) {
    const row = reader.isPlain ? new Array<number>(COLUMNS).fill(0) : [...reader.row];
    if (reader.isPlain) {
      row[AT.passed] = row[AT.runs] = reader.passed;
      row[AT.passedMs] = reader.passedMs;
    }
    rows.set(reader.slot, row);
  }
  return rows;
}

/** Goes from row to row without making anything: a month of 8,000 series has 240,000 of them. */
class BlockReader {
  slot = -1;
  /** Only passes, as many as runs: then these two are set, else `row`, the same array every time. */
  isPlain = false;
  passed = 0;
  passedMs = 0;
  readonly row: number[] = new Array<number>(COLUMNS).fill(0);
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** @returns false after the last row */
  next(): boolean {
    if (this.#at >= this.#bytes.length) return false;
    const head = this.#number();
    this.slot += 1 + (head >> 1);
    if (this.slot >= BLOCK_SERIES) throw new RangeError(DAMAGED);
    this.isPlain = (head & 1) === 0;
    if (this.isPlain) {
      this.passed = this.#number();
      this.passedMs = unzigzag(this.#number());
      return true;
    }
    const { row } = this;
    for (let column = 0; column < COLUMNS; column += 1) {
      const value = this.#number();
      row[column] = column === AT.passedMs || column === AT.failedMs ? unzigzag(value) : value;
    }
    return true;
  }

  #number(): number {
    let value = 0;
    for (let shift = 0; shift <= 49; shift += 7) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) break;
      this.#at += 1;
      // Bit operations end at 31 bits.
      value += shift < 28 ? (byte & 127) << shift : (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new RangeError(DAMAGED);
  }
}

const DAMAGED = 'a block of daily sums is damaged';

/** What the pages show of one series on one day. */
export interface BlockDay {
  readonly day: number;
  readonly passed: number;
  /** Timed out too. */
  readonly failed: number;
  readonly runs: number;
  readonly failedRuns: number;
  readonly mixedRuns: number;
  /** Of passes and failures. */
  readonly durationMs: number;
}

/**
 * Hands out the sums of some slots of a block.
 *
 * @param wanted not 0 at the slots asked for
 * @throws {RangeError} for bytes that no block has
 */
export function addDaysOfBlock(
  bytes: Uint8Array,
  day: number,
  wanted: Uint8Array,
  add: (slot: number, sums: BlockDay) => void,
): void {
  const reader = new BlockReader(bytes);
  while (reader.next()) {
    if (wanted[reader.slot] === 0) continue;
    const { passed, passedMs, row } = reader;
    add(
      reader.slot,
      reader.isPlain
        ? { day, passed, failed: 0, runs: passed, failedRuns: 0, mixedRuns: 0, durationMs: passedMs }
        : {
            day,
            passed: row[AT.passed] ?? 0,
            failed: (row[AT.failed] ?? 0) + (row[AT.timedout] ?? 0),
            runs: row[AT.runs] ?? 0,
            failedRuns: row[AT.failedRuns] ?? 0,
            mixedRuns: row[AT.mixedRuns] ?? 0,
            durationMs: (row[AT.passedMs] ?? 0) + (row[AT.failedMs] ?? 0),
          },
    );
  }
}

function pushNumber(bytes: number[], value: number): void {
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function unzigzag(value: number): number {
  if (value < 2 ** 31) return (value >>> 1) ^ -(value & 1);
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

/** What a window says of one series. */
export interface WindowSums {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly error: number;
  readonly timedout: number;
  readonly notrun: number;
  readonly runs: number;
  readonly failedRuns: number;
  readonly mixedRuns: number;
  readonly passedMs: number;
  readonly failedMs: number;
  /** Days (and kinds of run) with an attempt that passed or failed. */
  readonly clusters: number;
  /** Sum of failures² ÷ attempts over these. */
  readonly squares: number;
  readonly firstDay: number;
  readonly lastDay: number;
}

function addTo(sums: Float64Array, at: number, value: number): void {
  sums[at] = (sums[at] ?? 0) + value;
}

function valueAt(sums: Float64Array, at: number): number {
  return sums[at] ?? 0;
}

/** Adds blocks of several days, in any order. */
export class WindowTotals {
  readonly #blocks = new Map<number, Float64Array>();

  /** @throws {RangeError} for bytes that no block has */
  add(block: number, day: number, bytes: Uint8Array): void {
    const sums = this.#sumsOf(block);
    const reader = new BlockReader(bytes);
    const { row } = reader;
    while (reader.next()) {
      const base = reader.slot * WIDTH;
      let runs = reader.passed;
      if (reader.isPlain) {
        addTo(sums, base + AT.passed, runs);
        addTo(sums, base + AT.runs, runs);
        addTo(sums, base + AT.passedMs, reader.passedMs);
      } else {
        for (let column = 0; column < COLUMNS; column += 1) addTo(sums, base + column, row[column] ?? 0);
        const failures = (row[AT.failed] ?? 0) + (row[AT.timedout] ?? 0);
        if (failures > 0) addTo(sums, base + AT.squares, (failures * failures) / ((row[AT.passed] ?? 0) + failures));
        runs = row[AT.runs] ?? 0;
      }
      if (runs > 0) addTo(sums, base + AT.clusters, 1);
      if (day < (sums[base + AT.firstDay] ?? 0)) sums[base + AT.firstDay] = day;
      if (day > (sums[base + AT.lastDay] ?? 0)) sums[base + AT.lastDay] = day;
    }
  }

  #sumsOf(block: number): Float64Array {
    let sums = this.#blocks.get(block);
    if (sums === undefined) {
      sums = new Float64Array(BLOCK_SERIES * WIDTH);
      for (let base = 0; base < sums.length; base += WIDTH) {
        sums[base + AT.firstDay] = Infinity;
        sums[base + AT.lastDay] = -Infinity;
      }
      this.#blocks.set(block, sums);
    }
    return sums;
  }

  /** @returns `undefined` for a series without a row in the window */
  of(series: number): WindowSums | undefined {
    const sums = this.#blocks.get(blockOf(series));
    const base = slotOf(series) * WIDTH;
    if (sums?.[base + AT.firstDay] === undefined || sums[base + AT.firstDay] === Infinity) return undefined;
    return {
      passed: valueAt(sums, base + AT.passed),
      failed: valueAt(sums, base + AT.failed),
      skipped: valueAt(sums, base + AT.skipped),
      error: valueAt(sums, base + AT.error),
      timedout: valueAt(sums, base + AT.timedout),
      notrun: valueAt(sums, base + AT.notrun),
      runs: valueAt(sums, base + AT.runs),
      failedRuns: valueAt(sums, base + AT.failedRuns),
      mixedRuns: valueAt(sums, base + AT.mixedRuns),
      passedMs: valueAt(sums, base + AT.passedMs),
      failedMs: valueAt(sums, base + AT.failedMs),
      clusters: valueAt(sums, base + AT.clusters),
      squares: valueAt(sums, base + AT.squares),
      firstDay: valueAt(sums, base + AT.firstDay),
      lastDay: valueAt(sums, base + AT.lastDay),
    };
  }
}
