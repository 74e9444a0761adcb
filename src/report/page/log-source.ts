/** One log as the page reads it: index once, chunks when needed, few of them kept. */

import type { LoadBlock } from './blocks.js';
import { lastAtMost, parseChunk, parseIndex, type Chunk, type LogIndex } from '../shared/log-data.js';
import { timeOf } from '../shared/line.js';
import { ownerParents } from '../shared/view.js';
import type { Query } from '../shared/search.js';
import type { PageLog } from '../shared/page-data.js';

/** A chunk of 4,000 rows takes about a megabyte as strings. */
const CHUNKS_KEPT = 24;
const SEARCHES_AT_ONCE = 8;

export class LogSource {
  readonly log: PageLog;
  readonly #load: LoadBlock;
  readonly #chunks = new Map<number, Chunk>();
  readonly #loading = new Map<number, Promise<Chunk>>();
  #index: Promise<LogIndex> | undefined;
  #parents: Int32Array | undefined;

  constructor(log: PageLog, load: LoadBlock) {
    this.log = log;
    this.#load = load;
  }

  index(): Promise<LogIndex> {
    this.#index ??= this.#load(`${String(this.log.id)}-index`).then(parseIndex);
    return this.#index;
  }

  async parents(): Promise<Int32Array> {
    const index = await this.index();
    this.#parents ??= ownerParents(index.owners);
    return this.#parents;
  }

  /** The chunk when it is at hand. */
  chunkNow(number: number): Chunk | undefined {
    const chunk = this.#chunks.get(number);
    if (chunk !== undefined) {
      // The one used last goes last: the first is the one to forget.
      this.#chunks.delete(number);
      this.#chunks.set(number, chunk);
    }
    return chunk;
  }

  async chunk(number: number): Promise<Chunk> {
    const known = this.chunkNow(number) ?? this.#loading.get(number);
    if (known !== undefined) return known;
    const loading = this.#text(number).then((text) => {
      const chunk = parseChunk(text);
      this.#chunks.set(number, chunk);
      for (const old of this.#chunks.keys()) {
        if (this.#chunks.size <= CHUNKS_KEPT) break;
        this.#chunks.delete(old);
      }
      return chunk;
    });
    this.#loading.set(number, loading);
    try {
      return await loading;
    } finally {
      this.#loading.delete(number);
    }
  }

  async #text(number: number): Promise<string> {
    return new TextDecoder().decode(await this.#load(`${String(this.log.id)}-${String(number)}`));
  }

  async chunkOfRow(row: number): Promise<number> {
    const index = await this.index();
    return chunkNumberOf(index, row);
  }

  /** The first row written at or after a time; the last row when all are earlier. */
  async rowAtTime(at: number): Promise<number> {
    const index = await this.index();
    const number = index.chunks.findIndex((chunk) => (chunk.lastAt ?? Number.NEGATIVE_INFINITY) >= at);
    if (number === -1) return Math.max(0, index.rows - 1);
    const chunk = await this.chunk(number);
    for (let offset = 0; offset < chunk.lines.length; offset += 1) {
      const time = timeOf(chunk.lines[offset] ?? '', index.year)?.at ?? chunk.times?.[offset];
      if (time !== undefined && time >= at) return chunk.firstRow + offset;
    }
    return chunk.firstRow;
  }

  /**
   * Looks through all chunks that may hold the query.
   *
   * @param found called with the rows of one chunk, chunks in any order
   */
  async search(query: Query, found: (rows: number[]) => void, signal: AbortSignal): Promise<void> {
    const index = await this.index();
    const candidates = index.chunks.flatMap((_, number) => (query.mayBeIn(index.blooms[number]) ? [number] : []));
    let next = 0;
    const stopped = (): boolean => signal.aborted;
    const work = async (): Promise<void> => {
      while (next < candidates.length && !stopped()) {
        const number = candidates[next++] ?? 0;
        const text = await this.#text(number);
        if (stopped()) return;
        const head = text.indexOf('\n') + 1;
        const firstRow = index.chunks[number]?.firstRow ?? 0;
        const lines = query.linesIn(text.slice(head));
        if (lines.length > 0) found(lines.map((line) => line + firstRow));
      }
    };
    await Promise.all(Array.from({ length: SEARCHES_AT_ONCE }, work));
  }

  /** Line `row` in full: with its continuations. */
  async fullLine(row: number): Promise<string> {
    const index = await this.index();
    const run = lastAtMost(index.continuationStarts, row + 1);
    const start = index.continuationStarts[run] ?? -1;
    const last = start === row + 1 ? row + (index.continuationLengths[run] ?? 0) : row;
    const parts: string[] = [];
    for (let at = row; at <= last; at += 1) {
      const chunk = await this.chunk(chunkNumberOf(index, at));
      parts.push(chunk.lines[at - chunk.firstRow] ?? '');
    }
    return parts.join('');
  }

  /** The log as it was, for saving. */
  async raw(): Promise<Blob> {
    const index = await this.index();
    const parts: string[] = [];
    let run = 0;
    for (let number = 0; number < index.chunks.length; number += 1) {
      const text = await this.#text(number);
      const firstRow = index.chunks[number]?.firstRow ?? 0;
      const lines = text.slice(text.indexOf('\n') + 1).split('\n');
      let piece = '';
      lines.forEach((line, offset) => {
        const row = firstRow + offset;
        while (row >= (index.continuationStarts[run] ?? Infinity) + (index.continuationLengths[run] ?? 0)) run += 1;
        const goesOn = row >= (index.continuationStarts[run] ?? Infinity);
        piece += goesOn || row === 0 ? line : `\n${line}`;
      });
      parts.push(piece);
    }
    return new Blob([...parts, '\n'], { type: 'text/plain;charset=utf-8' });
  }
}

export function chunkNumberOf(index: LogIndex, row: number): number {
  let low = 0;
  let high = index.chunks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((index.chunks[middle]?.firstRow ?? 0) <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}
