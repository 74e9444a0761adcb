import { promisify } from 'node:util';
import { deflateRaw as deflateRawCallback } from 'node:zlib';

import type { ReadEvent } from '../results/events.js';
import type { TestId } from '../results/model.js';
import { buildBloom } from './shared/bloom.js';
import { FoldFinder, type Fold } from './shared/folds.js';
import { isErrorSeverity, severityOf, timeOf } from './shared/line.js';
import {
  CHUNK_CHARACTERS,
  CHUNK_ROWS,
  ROW_CHARACTERS,
  type ChunkHead,
  type ChunkInfo,
  type IndexHead,
  type LogOwner,
} from './shared/log-data.js';
import { NumberRun } from './shared/varint.js';

const deflateRaw = promisify(deflateRawCallback);

/** Takes a packed block of a log: chunk 0, 1, … in any order, and `index` last. */
export type WriteBlock = (block: number | 'index', packed: Uint8Array, unpackedBytes: number) => Promise<void>;

export interface LogSummary {
  readonly rows: number;
  readonly lines: number;
  /** Size of the text in UTF-16 code units, line ends not counted. */
  readonly characters: number;
  readonly chunks: number;
  readonly errors: number;
  /** Milliseconds since 1970 of the first and last line with a time. */
  readonly firstAt?: number;
  readonly lastAt?: number;
}

export interface LogWriterOptions {
  readonly write: WriteBlock;
  /** Year of times that do not name it, such as klog's. */
  readonly year: number;
}

/** Blocks being packed at the same time: one for each thread that is likely to be free, and memory stays small. */
const BLOCKS_AT_WORK = 2;
/** More sections than this are not a help any more and would make the index large. */
const MAXIMUM_FOLDS = 50_000;

interface OwnerState {
  readonly package: string;
  readonly name: string;
  readonly occurrence: number;
  readonly index: number;
  rows: number;
  firstRow: number;
  lastRow: number;
  firstErrorRow: number;
  firstErrorIsFail: boolean;
  ended: boolean;
}

/**
 * Writes one log as it is read: rows are collected into chunks, each packed and handed on as soon as it is full; what
 * stays in memory is the index (a few bytes a span, an error line and a chunk) and the chunks at work.
 *
 * Feed it the events of a reader in order with `add`, or plain lines with `line`, and await `drain` now and then: after
 * each piece of input is right. Where the input was split makes no difference.
 */
export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #owners = new Map<string, OwnerState>();
  readonly #ownerList: OwnerState[] = [];
  readonly #folds: Fold[] = [];
  readonly #finder = new FoldFinder((fold) => {
    if (this.#folds.length < MAXIMUM_FOLDS) this.#folds.push(fold);
    else this.#foldsCut = true;
  });
  readonly #spans = new NumberRun();
  readonly #errors = new NumberRun();
  readonly #continuations = new NumberRun();
  readonly #chunks: ChunkInfo[] = [];
  readonly #blooms: Uint8Array[] = [];
  #foldsCut = false;

  #row = 0;
  #lines = 0;
  #characters = 0;
  #errorCount = 0;
  #lastErrorRow = 0;
  /** Whose line came last, as the newest attempt of its test. */
  #lastOwner: OwnerState | undefined;
  #spanOwner: OwnerState | undefined;
  #spanStart = 0;
  #continuationsEnd = 0;
  #longLineStart = -1;

  // The line that is being put together from pieces.
  #open: { readonly owner: OwnerState; text: string; readonly at: string | undefined; rowsOut: number } | undefined;

  // The chunk being filled.
  #chunkRows: string[] = [];
  #chunkTimes: number[] = [];
  #chunkHasTimes = false;
  #chunkErrors = 0;
  #chunkCharacters = 0;
  #chunkFirstRow = 0;

  readonly #clock = new TimeParser();
  readonly #atWork = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#owner('', '', 1);
  }

  /** Takes an event of a reader; only starts, ends and output mean something here. */
  add(event: ReadEvent): void {
    switch (event.type) {
      case 'output': {
        const owner = event.test === undefined ? this.#owner(event.package ?? '', '', 1) : this.#ownerOf(event.test);
        this.#piece(owner, event.text, event.at, event.partial === true);
        return;
      }
      case 'test-started':
        this.#started(event.test);
        return;
      case 'test-ended': {
        const owner = this.#owners.get(ownerKey(event.test.package, event.test.name));
        if (owner === undefined) return;
        owner.ended = true;
        this.#finder.endOwner(owner.index);
        return;
      }
      case 'package-ended':
      case 'attribute':
      case 'repair':
        return;
    }
  }

  /** A line of a log that belongs to no test. */
  line(text: string): void {
    this.#piece(this.#owner('', '', 1), text, undefined, false);
  }

  /** A piece of a line that goes on. */
  partialLine(text: string): void {
    this.#piece(this.#owner('', '', 1), text, undefined, true);
  }

  /** Waits until there is room for more. @throws what writing a block threw */
  async drain(): Promise<void> {
    while (this.#atWork.size >= BLOCKS_AT_WORK && this.#failure === undefined) await Promise.race(this.#atWork);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Writes what is left and the index. */
  async end(): Promise<LogSummary> {
    this.#endLine();
    this.#finder.end();
    this.#endSpan();
    this.#endChunk();
    await Promise.all(this.#atWork);
    await this.drain();
    await this.#writeIndex();
    const firstAt = this.#chunks.find((chunk) => chunk.firstAt !== undefined)?.firstAt;
    const lastAt = this.#chunks.findLast((chunk) => chunk.lastAt !== undefined)?.lastAt;
    return {
      rows: this.#row,
      lines: this.#lines,
      characters: this.#characters,
      chunks: this.#chunks.length,
      errors: this.#errorCount,
      ...(firstAt === undefined ? {} : { firstAt }),
      ...(lastAt === undefined ? {} : { lastAt }),
    };
  }

  #started(test: TestId): void {
    const before = this.#owners.get(ownerKey(test.package, test.name));
    // Output that came before the start belongs to the attempt that starts.
    if (before !== undefined && !before.ended && before.occurrence === 1) return;
    this.#owner(test.package, test.name, (before?.occurrence ?? 0) + 1);
  }

  #ownerOf({ package: pkg, name }: TestId): OwnerState {
    // Lines of one test come in runs: to compare names is cheaper than to make and hash a key for each line.
    const last = this.#lastOwner;
    if (last?.name === name && last.package === pkg) return last;
    const owner = this.#owners.get(ownerKey(pkg, name)) ?? this.#owner(pkg, name, 1);
    this.#lastOwner = owner;
    return owner;
  }

  #owner(pkg: string, name: string, occurrence: number): OwnerState {
    const key = ownerKey(pkg, name);
    const known = this.#owners.get(key);
    if (known !== undefined && known.occurrence >= occurrence) return known;
    const owner: OwnerState = {
      package: pkg,
      name,
      occurrence,
      index: this.#ownerList.length,
      rows: 0,
      firstRow: -1,
      lastRow: -1,
      firstErrorRow: -1,
      firstErrorIsFail: false,
      ended: false,
    };
    this.#owners.set(key, owner);
    this.#ownerList.push(owner);
    this.#lastOwner = undefined;
    return owner;
  }

  #piece(owner: OwnerState, text: string, at: string | undefined, partial: boolean): void {
    if (this.#open !== undefined && this.#open.owner !== owner) this.#endLine();
    let open = this.#open;
    if (open === undefined) {
      if (!partial && text.length <= ROW_CHARACTERS && !text.includes('\n')) {
        this.#addRow(owner, text, at, false);
        return;
      }
      open = { owner, text: '', at, rowsOut: 0 };
      this.#open = open;
    }
    open.text += text.includes('\n') ? text.replaceAll('\n', '\u2424') : text;
    while (open.text.length > ROW_CHARACTERS) {
      const end = /[\ud800-\udbff]/.test(open.text.charAt(ROW_CHARACTERS - 1)) ? ROW_CHARACTERS - 1 : ROW_CHARACTERS;
      this.#addRow(owner, open.text.slice(0, end), open.at, open.rowsOut > 0);
      open.rowsOut += 1;
      open.text = open.text.slice(end);
    }
    if (!partial) this.#endLine();
  }

  #endLine(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    if (open.text !== '' || open.rowsOut === 0) this.#addRow(open.owner, open.text, open.at, open.rowsOut > 0);
  }

  #addRow(owner: OwnerState, text: string, at: string | undefined, continues: boolean): void {
    const row = this.#row;
    if (continues) this.#addContinuation(row);
    else {
      this.#endLongLine(row);
      this.#lines += 1;
    }
    this.#addToSpan(owner, row);
    const severity = continues ? 'none' : severityOf(text);
    const isError = isErrorSeverity(severity);
    if (isError) this.#addError(owner, row, severity === 'fail');
    if (!continues) this.#finder.add(row, owner.index, text, isError);
    this.#addToChunk(text, at);
    this.#row += 1;
    if (this.#chunkRows.length >= CHUNK_ROWS || this.#chunkCharacters >= CHUNK_CHARACTERS) this.#endChunk();
  }

  #addContinuation(row: number): void {
    if (this.#longLineStart === -1) this.#longLineStart = row;
  }

  #endLongLine(row: number): void {
    if (this.#longLineStart === -1) return;
    this.#continuations.push(this.#longLineStart - this.#continuationsEnd);
    this.#continuations.push(row - this.#longLineStart);
    this.#continuationsEnd = row;
    this.#longLineStart = -1;
  }

  #addToSpan(owner: OwnerState, row: number): void {
    if (owner.firstRow === -1) owner.firstRow = row;
    owner.lastRow = row;
    owner.rows += 1;
    if (this.#spanOwner === owner) return;
    this.#endSpan();
    this.#spanOwner = owner;
    this.#spanStart = row;
  }

  #endSpan(): void {
    if (this.#spanOwner === undefined) return;
    this.#spans.push(this.#row - this.#spanStart);
    this.#spans.push(this.#spanOwner.index);
  }

  #addError(owner: OwnerState, row: number, isFail: boolean): void {
    this.#errors.push(row - this.#lastErrorRow);
    this.#lastErrorRow = row;
    this.#errorCount += 1;
    this.#chunkErrors += 1;
    if (owner.firstErrorRow === -1 || (isFail && !owner.firstErrorIsFail)) {
      owner.firstErrorRow = row;
      owner.firstErrorIsFail = isFail;
    }
  }

  #addToChunk(text: string, at: string | undefined): void {
    this.#chunkRows.push(text);
    this.#chunkCharacters += text.length;
    this.#characters += text.length;
    const time = at === undefined ? Number.NaN : this.#clock.parse(at);
    this.#chunkTimes.push(time);
    if (!Number.isNaN(time)) this.#chunkHasTimes = true;
  }

  #endChunk(): void {
    if (this.#chunkRows.length === 0) return;
    const rows = this.#chunkRows;
    const times = this.#chunkHasTimes ? this.#chunkTimes : undefined;
    const number = this.#chunks.length;
    const head: ChunkHead = {
      firstRow: this.#chunkFirstRow,
      ...(times === undefined ? {} : { times: steps(times) }),
    };
    const firstAt = firstTime(rows, times, this.#options.year, 1);
    const lastAt = firstTime(rows, times, this.#options.year, -1);
    this.#chunks.push({
      firstRow: this.#chunkFirstRow,
      rows: rows.length,
      errors: this.#chunkErrors,
      ...(firstAt === undefined ? {} : { firstAt }),
      ...(lastAt === undefined ? {} : { lastAt }),
    });
    const text = rows.join('\n');
    this.#blooms.push(buildBloom(Buffer.from(text.toLowerCase())));
    this.#start(this.#pack(number, Buffer.from(`${JSON.stringify(head)}\n${text}`)));
    this.#chunkRows = [];
    this.#chunkTimes = [];
    this.#chunkHasTimes = false;
    this.#chunkErrors = 0;
    this.#chunkCharacters = 0;
    this.#chunkFirstRow = this.#row;
  }

  #start(work: Promise<void>): void {
    const watched = work
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#atWork.delete(watched));
    this.#atWork.add(watched);
  }

  async #pack(block: number | 'index', bytes: Uint8Array): Promise<void> {
    await this.#options.write(block, await deflateRaw(bytes, { level: 6, memLevel: 9 }), bytes.length);
  }

  async #writeIndex(): Promise<void> {
    this.#endLongLine(this.#row);
    const spans = this.#spans.bytes();
    const errors = this.#errors.bytes();
    const continuations = this.#continuations.bytes();
    const blooms = Buffer.concat(this.#blooms);
    const head: IndexHead = {
      rows: this.#row,
      lines: this.#lines,
      year: this.#options.year,
      chunks: this.#chunks,
      owners: this.#ownerList.map(
        ({ package: pkg, name, occurrence, rows, firstRow, lastRow, firstErrorRow }): LogOwner => ({
          package: pkg,
          name,
          occurrence,
          rows,
          firstRow,
          lastRow,
          firstErrorRow,
        }),
      ),
      folds: this.#folds.sort((a, b) => a.startRow - b.startRow || b.endRow - a.endRow),
      foldsCut: this.#foldsCut,
      sections: {
        spans: spans.length,
        errors: errors.length,
        continuations: continuations.length,
        blooms: blooms.length,
      },
      bloomBytes: this.#blooms.map((bloom) => bloom.length),
    };
    const bytes = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), spans, errors, continuations, blooms]);
    await this.#pack('index', bytes);
  }
}

function ownerKey(pkg: string, name: string): string {
  return `${pkg}\0${name}`;
}

/** Milliseconds of ISO 8601 times in UTC; NaN for what is none. A log has many lines a minute, so the minute is kept. */
class TimeParser {
  #minute = '';
  #minuteMs = Number.NaN;

  parse(at: string): number {
    // `2026-01-02T03:04:05.678901234Z`: seconds at 17, fraction from 19.
    if (at.length < 20 || at.charCodeAt(16) !== COLON || at.charCodeAt(at.length - 1) !== LETTER_Z)
      return Date.parse(at);
    const minute = at.slice(0, 16);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#minuteMs = Date.parse(`${minute}:00Z`);
    }
    const seconds = Number(at.slice(17, 23).replace('Z', ''));
    return seconds < 60 ? this.#minuteMs + Math.floor(seconds * 1_000 + 1e-6) : Date.parse(at);
  }
}

const COLON = 0x3a;
const LETTER_Z = 0x5a;

/** Times as steps from 0; an unknown time repeats the one before it, or is 0 when there is none. */
function steps(times: readonly number[]): number[] {
  let before = 0;
  return times.map((time) => {
    const now = Number.isNaN(time) ? before : time;
    const step = now - before;
    before = now;
    return step;
  });
}

/** Time of the first row that has one, looking from the start (1) or the end (-1); gives up after 200 rows. */
function firstTime(
  rows: readonly string[],
  times: readonly number[] | undefined,
  year: number,
  direction: 1 | -1,
): number | undefined {
  const limit = Math.min(rows.length, 200);
  for (let step = 0; step < limit; step += 1) {
    const index = direction === 1 ? step : rows.length - 1 - step;
    const own = timeOf(rows[index] ?? '', year)?.at ?? times?.[index];
    if (own !== undefined && !Number.isNaN(own)) return own;
  }
  return undefined;
}
