import { inflateRawSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { MkCiError } from '../errors.js';
import type { ReadEvent } from '../results/events.js';
import { LogWriter, type LogSummary } from './log-writer.js';
import {
  CHUNK_ROWS,
  lineOfRow,
  ownerOfRow,
  parseChunk,
  parseIndex,
  ROW_CHARACTERS,
  rowOfLine,
  type LogIndex,
} from './shared/log-data.js';
import { parseQuery } from './shared/search.js';
import { buildView, ownerFamily, ownerParents } from './shared/view.js';

interface Written {
  readonly summary: LogSummary;
  readonly index: LogIndex;
  readonly rows: readonly string[];
  readonly times: readonly (number | undefined)[];
  readonly chunkTexts: readonly string[];
}

async function write(events: Iterable<ReadEvent>): Promise<Written> {
  const blocks = new Map<string, Buffer>();
  const writer = new LogWriter({
    year: 2026,
    write: async (block, packed, unpackedBytes) => {
      const bytes = inflateRawSync(packed);
      expect(bytes.length).toBe(unpackedBytes);
      blocks.set(String(block), bytes);
    },
  });
  for (const event of events) writer.add(event);
  const summary = await writer.end();
  const index = parseIndex(blocks.get('index')!);
  const chunkTexts = index.chunks.map((_, number) => blocks.get(String(number))!.toString());
  const chunks = chunkTexts.map(parseChunk);
  return {
    summary,
    index,
    rows: chunks.flatMap(({ lines }) => lines),
    times: chunks.flatMap(({ lines, times }) => lines.map((_, offset) => times?.[offset])),
    chunkTexts,
  };
}

const out = (name: string, text: string, more: { partial?: boolean; at?: string } = {}): ReadEvent => ({
  type: 'output',
  ...(name === '' ? {} : { test: { package: 'p', name } }),
  text,
  ...more,
});

const line = fc.string({ unit: fc.constantFrom('a', 'é', '😀', ' ', '\t', '\r', '"', '<', 'E0914 '), maxLength: 12 });
const events = fc.array(fc.tuple(fc.constantFrom('', 'A', 'A/b', 'B', '__proto__'), line), { maxLength: 60 });

describe('the writer of logs', () => {
  it('gives back every line with its owner', async () => {
    await fc.assert(
      fc.asyncProperty(events, async (lines) => {
        const { rows, index } = await write(lines.map(([name, text]) => out(name, text)));
        expect(rows).toEqual(lines.map(([, text]) => text));
        expect(rows.map((_, row) => index.owners[ownerOfRow(index, row)]?.name)).toEqual(lines.map(([name]) => name));
      }),
      { numRuns: 50 },
    );
  });

  it('does not care where lines were split', async () => {
    await fc.assert(
      fc.asyncProperty(events, fc.array(fc.nat(4), { minLength: 1 }), async (lines, cuts) => {
        const pieces = lines.flatMap(([name, text], number): ReadEvent[] => {
          const at = Math.min(text.length, cuts[number % cuts.length] ?? 0);
          return [out(name, text.slice(0, at), { partial: true }), out(name, text.slice(at))];
        });
        const whole = await write(lines.map(([name, text]) => out(name, text)));
        const split = await write(pieces);
        expect(split).toEqual(whole);
      }),
      { numRuns: 50 },
    );
  });

  it('spreads many lines over chunks and knows the first row of each', async () => {
    const { index, rows } = await write(
      Array.from({ length: 9_500 }, (_, number) => out('A', `line ${String(number)}`)),
    );
    expect(index.chunks.map(({ firstRow, rows: count }) => [firstRow, count])).toEqual([
      [0, CHUNK_ROWS],
      [CHUNK_ROWS, CHUNK_ROWS],
      [2 * CHUNK_ROWS, 1_500],
    ]);
    expect(rows[8_765]).toBe('line 8765');
  });

  it('cuts a long line into rows that share its number, the same however it came', async () => {
    const long = 'x'.repeat(ROW_CHARACTERS * 2 + 10);
    const { index, rows, summary } = await write([out('A', 'first'), out('A', long), out('A', 'last')]);
    expect(rows.map(({ length }) => length)).toEqual([5, ROW_CHARACTERS, ROW_CHARACTERS, 10, 4]);
    expect(rows.map((_, row) => lineOfRow(index, row))).toEqual([1, 2, 2, 2, 3]);
    expect([1, 2, 3].map((number) => rowOfLine(index, number))).toEqual([0, 1, 4]);
    expect(summary).toMatchObject({ lines: 3, rows: 5 });
    const pieces = [out('A', long.slice(0, 70_000), { partial: true }), out('A', long.slice(70_000))];
    expect((await write([out('A', 'first'), ...pieces, out('A', 'last')])).rows).toEqual(rows);
  });

  it('keeps attempts of one test apart', async () => {
    const test = { package: 'p', name: 'A' };
    const { index } = await write([
      { type: 'test-started', test },
      out('A', 'one'),
      { type: 'test-ended', test, status: 'failed' },
      out('A', 'late'),
      { type: 'test-started', test },
      out('A', 'two'),
      { type: 'test-ended', test, status: 'passed' },
    ]);
    expect(index.owners.map(({ name, occurrence, rows }) => [name, occurrence, rows])).toEqual([
      ['', 1, 0],
      ['A', 1, 2],
      ['A', 2, 1],
    ]);
  });

  it('keeps times that the format gives, and unknown ones unknown', async () => {
    const { times } = await write([
      out('A', 'a'),
      out('A', 'b', { at: '2026-09-14T09:30:00.5Z' }),
      out('A', 'c', { at: '2026-09-14T09:30:01Z' }),
    ]);
    expect(times).toEqual([Number.NaN, Date.UTC(2026, 8, 14, 9, 30, 0, 500), Date.UTC(2026, 8, 14, 9, 30, 1)]);
  });

  it('remembers the first line that says fail, before lines that only look like errors', async () => {
    const { index } = await write([
      out('A', 'fine'),
      out('A', 'Error: no'),
      out('A', '--- FAIL: A'),
      out('A', 'panic: x'),
    ]);
    expect(index.owners[1]?.firstErrorRow).toBe(2);
    expect([...index.errorRows]).toEqual([1, 2, 3]);
  });

  it('finds every text that is in the log through its filters', async () => {
    await fc.assert(
      fc.asyncProperty(events, fc.nat(), async (lines, pick) => {
        const typed = lines[pick % Math.max(1, lines.length)]?.[1] ?? '';
        const query = parseQuery(typed);
        if (query === undefined) return;
        const { index, chunkTexts } = await write(lines.map(([name, text]) => out(name, text)));
        const found = chunkTexts.flatMap((text, number) =>
          query.mayBeIn(index.blooms[number]) ? query.linesIn(text.slice(text.indexOf('\n') + 1)) : [],
        );
        const expected = lines.flatMap(([, text], row) =>
          text.toLowerCase().includes(typed.toLowerCase()) ? [row] : [],
        );
        expect(found).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  it('says that the disk is full from drain or end, and writes nothing more', async () => {
    const full = new MkCiError('HOST_DISK_FULL');
    const writer = new LogWriter({ year: 2026, write: () => Promise.reject(full) });
    for (let number = 0; number < CHUNK_ROWS; number += 1) writer.line('x');
    await expect(writer.end()).rejects.toBe(full);
    await expect(writer.drain()).rejects.toBe(full);
  });
});

describe('the view of a log', () => {
  const sample = [
    out('', 'start'),
    out('A', '=== RUN A'),
    out('A/b', 'b1'),
    out('B', 'other'),
    out('A/b', 'b2'),
    out('A', '::group::g'),
    out('A', 'in group'),
    out('B', 'other 2'),
    out('A', '::endgroup::'),
    out('A', '--- FAIL: A'),
  ];
  const none = { closedFolds: new Set<number>(), closedOwners: new Set<number>(), revealed: [] };
  const shown = (view: ReturnType<typeof buildView>): (number | string)[] =>
    Array.from({ length: view.length }, (_, position) => {
      const gap = view.gapAt(position);
      return gap === undefined ? view.rowAt(position) : `${String(gap.rows)} more`;
    });

  it('is the whole log when nothing is chosen', async () => {
    const { index } = await write(sample);
    const view = buildView(index, ownerParents(index.owners), none);
    expect(view.length).toBe(10);
    expect(view.rowAt(7)).toBe(7);
  });

  it('shows a test with its subtests and nothing of its neighbours', async () => {
    const { index } = await write(sample);
    const parents = ownerParents(index.owners);
    const view = buildView(index, parents, { ...none, owners: ownerFamily(parents, 1) });
    expect(shown(view)).toEqual([1, 2, 4, 5, 6, 8, 9]);
  });

  it('closes a section but for its title, and leaves lines of other tests inside it', async () => {
    const { index } = await write(sample);
    expect(shown(buildView(index, ownerParents(index.owners), { ...none, closedFolds: new Set([0]) }))).toEqual([
      0, 1, 2, 3, 4, 5, 7, 9,
    ]);
  });

  it('closes a subtest to its first line', async () => {
    const { index } = await write(sample);
    const subtest = index.owners.findIndex(({ name }) => name === 'A/b');
    expect(shown(buildView(index, ownerParents(index.owners), { ...none, closedOwners: new Set([subtest]) }))).toEqual([
      0, 1, 2, 3, 5, 6, 7, 8, 9,
    ]);
  });

  it('puts a gap in place of lines far from errors', async () => {
    const { index } = await write([
      ...Array.from({ length: 50 }, (_, row) => out('A', `quiet ${String(row)}`)),
      out('A', '--- FAIL: A'),
    ]);
    const options = { ...none, focus: { context: 2, head: 1 } };
    expect(shown(buildView(index, ownerParents(index.owners), options))).toEqual([0, '47 more', 48, 49, 50]);
    expect(shown(buildView(index, ownerParents(index.owners), { ...options, revealed: [[10, 11]] }))).toEqual([
      0,
      '9 more',
      10,
      11,
      '36 more',
      48,
      49,
      50,
    ]);
  });

  it('finds each row that it shows', async () => {
    await fc.assert(
      fc.asyncProperty(events, fc.array(fc.nat(5)), async (lines, closed) => {
        const { index } = await write(lines.map(([name, text]) => out(name, text)));
        const view = buildView(index, ownerParents(index.owners), {
          ...none,
          closedOwners: new Set(closed),
          focus: { context: 1, head: 1 },
        });
        for (let position = 0; position < view.length; position += 1) {
          const row = view.rowAt(position);
          if (row !== -1) expect(view.positionOf(row)).toBe(position);
        }
        const covered = shown(view).reduce<number>(
          (sum, one) => sum + (typeof one === 'number' ? 1 : Number.parseInt(one, 10)),
          0,
        );
        expect(covered).toBeLessThanOrEqual(index.rows);
      }),
      { numRuns: 50 },
    );
  });
});
