import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile, appendFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { decodeLine, encodeFrame, FRAME_BYTES, isSafePath, type PodEnd } from './frames.js';
import { createReceiver } from './receive.js';
import { createSender } from './send.js';

const WHOLE: PodEnd = { isWhole: true, problems: [] };

describe('frames', () => {
  it('come out as they went in, in lines that no container runtime cuts', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 2000 }), fc.nat(), fc.nat(), (bytes, number, offset) => {
        const frame = {
          kind: 'data',
          path: 'cells/a/attempt-1/stdout.log',
          offset,
          bytes: Buffer.from(bytes),
        } as const;
        const line = encodeFrame(number + 1, frame);
        expect(line.length).toBeLessThan(16 * 1024);
        expect(line).not.toContain('\n');
        expect(decodeLine(line)).toEqual({ number: number + 1, frame });
      }),
      { numRuns: 20 },
    );
  });

  it('stay that short with bytes that can not be made smaller', () => {
    const bytes = randomBytes(FRAME_BYTES);
    const line = encodeFrame(1e9, { kind: 'data', path: 'x'.repeat(255), offset: 1e9, bytes });
    expect(line.length).toBeLessThan(16 * 1024 - 1);
  });

  it('are told from lines for people, and damaged ones from whole ones', () => {
    const line = encodeFrame(3, { kind: 'end', end: WHOLE });
    expect(decodeLine('INFO began')).toBeUndefined();
    expect(decodeLine(line.slice(0, -6))).toBe('broken');
    expect(decodeLine(`${line} and more`)).toBe('broken');
    expect(decodeLine('#mk-ci 1 AAAA')).toBe('broken');
  });

  it('do not lead out of the folder', () => {
    for (const path of ['../x', 'a/../../x', '/etc/passwd', 'a//b', '', 'a/./b', 'a\0b', 'x'.repeat(256)]) {
      expect(isSafePath(path), path).toBe(false);
      expect(decodeLine(encodeFrame(1, { kind: 'data', path, offset: 0, bytes: Buffer.alloc(1) }))).toBe('broken');
    }
  });
});

describe('the folder of a run', () => {
  let temporary: TemporaryFolder;
  let from: string;
  let to: string;
  beforeEach(async () => {
    temporary = await createTemporaryFolder();
    from = join(temporary.path, 'from');
    to = join(temporary.path, 'to');
  });
  afterEach(async () => {
    await temporary[Symbol.asyncDispose]();
  });
  const put = async (path: string, content: string | Buffer): Promise<void> => {
    await mkdir(dirname(join(from, path)), { recursive: true });
    await writeFile(join(from, path), content);
  };

  /** Sends a folder that grows in between. @returns the lines */
  const sendAll = async (): Promise<string> => {
    let text = '';
    const sender = createSender(from, async (line) => {
      text += line;
    });
    await sender.sendNews();
    await put('events.jsonl', 'one\n');
    await put('cells/a/attempt-1/stdout.log', Buffer.alloc(40_000, 'ab'));
    await put('cells/a/attempt-1/artifacts/empty', '');
    await put('cells/a/attempt-1/artifacts/db', 'first version');
    await sender.sendNews();
    await appendFile(join(from, 'events.jsonl'), 'two\n');
    await put('cells/a/attempt-1/artifacts/db', 'other');
    text += 'a line for people\n';
    await sender.sendRest(WHOLE);
    return text;
  };
  const expectAll = async (): Promise<void> => {
    for (const path of ['events.jsonl', 'cells/a/attempt-1/stdout.log', 'cells/a/attempt-1/artifacts/empty'])
      expect(await readFile(join(to, path))).toEqual(await readFile(join(from, path)));
    expect(await readFile(join(to, 'cells/a/attempt-1/artifacts/db'), 'utf8')).toBe('other');
  };

  it('arrives whole, wherever the log is cut into pieces', async () => {
    const lines: string[] = [];
    const receiver = createReceiver(to, (line) => lines.push(line));
    const log = Buffer.from(await sendAll());
    for (let at = 0; at < log.length; at += 333) await receiver.take(log.subarray(at, at + 333));
    expect(receiver.end()).toEqual(WHOLE);
    expect(lines).toEqual(['a line for people']);
    await expectAll();
  });

  it('arrives once when the log is read again from its beginning', async () => {
    const receiver = createReceiver(to);
    const log = Buffer.from(await sendAll());
    await receiver.take(log.subarray(0, log.length / 2));
    expect(receiver.end()).toBeUndefined();
    receiver.begin();
    await receiver.take(log);
    expect(receiver.end()).toEqual(WHOLE);
    await expectAll();
  });

  it('has no end when a line is missing', async () => {
    const receiver = createReceiver(to);
    const lines = (await sendAll()).split('\n');
    await receiver.take(Buffer.from(lines.filter((_, at) => at !== 1).join('\n')));
    expect(receiver.end()).toBeUndefined();
  });
});
