import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { createEventLog, openEventLog, parseEventLine, readEventLog, type SkippedLine } from './event-log.js';
import { EVENTS_VERSION, type RunEvent } from './events.js';

let folder: TemporaryFolder;
let path: string;
beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-log-');
  path = join(folder.path, 'events.jsonl');
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

const at = '2026-11-21T10:00:00.000Z';
const cell = (name: string): RunEvent => ({ type: 'cell-started', at, cell: name });

async function read(): Promise<{ events: RunEvent[]; skipped: SkippedLine[] }> {
  const events: RunEvent[] = [];
  const skipped: SkippedLine[] = [];
  for await (const event of readEventLog(path, { onSkipped: (line) => skipped.push(line) })) events.push(event);
  return { events, skipped };
}

describe('event log', () => {
  it('gives back what was appended, before it is closed', async () => {
    const log = openEventLog(path);
    log.append(cell('a\u2028"\n'));
    log.append(cell('ü'));
    expect((await read()).events).toEqual([cell('a\u2028"\n'), cell('ü')]);
    log.close();
    log.close();
  });

  it('reads every whole event of a log that was cut anywhere', async () => {
    const events = ['a', 'bb', 'ä€', 'dddd'].map(cell);
    const bytes = Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: bytes.length }), async (length) => {
        await writeFile(path, bytes.subarray(0, length));
        const whole = bytes.subarray(0, length).toString('utf8').split('\n').slice(0, -1).length;
        const result = await read();
        // A line that lacks only its line feed is whole.
        expect(result.events.length === whole || result.events.length === whole + 1).toBe(true);
        expect(result.events).toEqual(events.slice(0, result.events.length));
        expect(result.skipped.length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 60 },
    );
  });

  it('names a torn last line and foreign lines, and passes over unknown types in silence', async () => {
    await writeFile(
      path,
      `${JSON.stringify(cell('a'))}\nnot json\n{"type":"cell-started"}\n{"type":"from-the-future"}\n\n`,
    );
    await appendFile(path, '{"type":"cell-st');
    expect(await read()).toEqual({
      events: [cell('a')],
      skipped: [
        { line: 2, reason: 'not-json' },
        { line: 3, reason: 'not-an-event' },
        { line: 6, reason: 'torn' },
      ],
    });
  });

  it('refuses a log of a newer version and a folder without one', async () => {
    const started = { type: 'run-started', version: EVENTS_VERSION + 1, at, runId: 'r', cells: [] };
    await writeFile(path, JSON.stringify(started));
    await expect(read()).rejects.toMatchObject({
      code: 'RES_MALFORMED',
      message: expect.stringContaining('newer') as string,
    });
    path = join(folder.path, 'nowhere', 'events.jsonl');
    await expect(read()).rejects.toMatchObject({ code: 'RES_NOT_A_RUN' });
  });

  it('cuts a half-written line off when the disk is full, so that later lines are whole', async () => {
    let content = Buffer.alloc(0);
    let room = 60;
    const log = createEventLog(path, 0, {
      write: (bytes, offset) => {
        const taken = bytes.subarray(offset, offset + room);
        if (taken.length === 0) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
        content = Buffer.concat([content, taken]);
        room -= taken.length;
        return taken.length;
      },
      truncate: (size) => {
        content = content.subarray(0, size);
      },
      sync: () => undefined,
      close: () => undefined,
    });
    expect(() => {
      log.append(cell('a'.repeat(100)));
    }).toThrow(
      expect.objectContaining({
        code: 'RUN_OUTPUT',
        exitCode: 39,
        message: expect.stringContaining('no space left') as string,
      }) as Error,
    );
    room = 1000;
    log.append(cell('b'));
    await writeFile(path, content);
    expect(await read()).toEqual({ events: [cell('b')], skipped: [] });
  });

  it('continues a log that exists', async () => {
    const first = openEventLog(path);
    first.append(cell('a'));
    first.close();
    const second = openEventLog(path);
    second.append(cell('b'));
    second.close();
    expect((await readFile(path, 'utf8')).split('\n')).toHaveLength(3);
  });

  it('takes no line for an event whose test is not a test', () => {
    expect(parseEventLine('{"type":"test-ended","cell":"c","attempt":1,"status":"passed","test":{"name":"x"}}')).toBe(
      'not-an-event',
    );
    expect(parseEventLine('null')).toBe('not-an-event');
    expect(parseEventLine('{"type":"constructor"}')).toBe('unknown-type');
  });
});
