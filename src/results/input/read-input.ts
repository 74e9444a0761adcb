import { MkCiError } from '../../errors.js';
import { addRunEvent, addRunRepair, createRunState, runResult } from '../accumulate-run.js';
import { parseEventLine } from '../event-log.js';
import type { RunResult } from '../model.js';
import { FORMATS, type Emit, type Format, type Reader } from '../reader.js';
import { createJsonLines } from '../readers/go-json/json-lines.js';
import { detectFormat, HEAD_LENGTH, loadReader } from '../readers/registry.js';
import { decompress } from './decompress.js';
import { createTextPieces } from './text-decoder.js';

export interface ReadInputOptions {
  /** Read as this format. @default recognised by the content */
  readonly format?: Format | undefined;
  /** Takes the events in order. */
  readonly emit: Emit;
  /** Awaited between pieces, so that whoever takes the events can hold the reading up. */
  readonly drain?: () => Promise<void>;
  readonly signal?: AbortSignal | undefined;
  /** Tests that did not end get `timedout`. */
  readonly timedOut?: boolean;
  /** Most bytes read after unpacking. @default 64 GiB */
  readonly maxBytes?: number;
  /** Told of what is read after unpacking, before it is looked at. What it throws ends the reading. */
  readonly onBytes?: (count: number) => void;
}

export interface InputRead {
  readonly format: Format;
  /** The whole run, when the input was the record of one (`mk-ci`); then no event was emitted. */
  readonly run?: RunResult;
}

const MAX_BYTES = 64 * 1024 ** 3;
/** Text goes into readers in pieces of this many characters, with a pause for `drain` in between. */
const PIECE = 256 * 1024;

/**
 * Reads one test output of any format, packed or not, in any encoding. Memory does not grow with its length.
 *
 * @throws {MkCiError} `RES_EMPTY`, `RES_UNKNOWN_FORMAT`, `RES_MALFORMED` (nothing of it could be read), `RES_TOO_LARGE`
 */
export async function readInput(source: AsyncIterable<Uint8Array>, options: ReadInputOptions): Promise<InputRead> {
  const { emit, drain, signal, maxBytes = MAX_BYTES, onBytes } = options;
  const target = createTarget(options);
  const decoder = createTextPieces();
  let bytes = 0;
  const take = async (text: string): Promise<void> => {
    for (let at = 0; at < text.length; at += PIECE) {
      await target.write(at === 0 && text.length <= PIECE ? text : text.slice(at, at + PIECE));
      if (drain !== undefined) await drain();
    }
  };
  const unpacked = decompress(source, {
    onDamage: (message) => {
      emit({ type: 'repair', kind: 'truncated', message });
    },
  });
  for await (const piece of unpacked) {
    signal?.throwIfAborted();
    bytes += piece.length;
    onBytes?.(piece.length);
    if (bytes > maxBytes) {
      throw new MkCiError('RES_TOO_LARGE', { message: `more than ${String(maxBytes)} bytes` });
    }
    await take(decoder.write(piece));
  }
  await take(decoder.end());
  return target.end();
}

/** Collects the head until the format is known, then passes text on. */
interface Target {
  write(text: string): Promise<void>;
  end(): Promise<InputRead>;
}

function createTarget(options: ReadInputOptions): Target {
  let format: Format | undefined = options.format;
  let reader: Reader | undefined;
  let run: RunReader | undefined;
  let head = '';
  let isEmpty = true;

  async function open(wanted: Format): Promise<void> {
    format = wanted;
    if (wanted === 'mk-ci') {
      run = createRunReader();
    } else {
      const create = await loadReader(wanted);
      if (create === undefined) throw new MkCiError('RES_UNKNOWN_FORMAT', { message: `${wanted} can not be read` });
      reader = create(options.emit, options.timedOut === undefined ? {} : { timedOut: options.timedOut });
    }
    const begun = head;
    head = '';
    if (begun !== '') (run ?? reader)?.write(begun);
  }

  async function detect(): Promise<void> {
    const found = head.includes('"type":"run-started"')
      ? ({ format: 'mk-ci', certainty: 1 } as const)
      : detectFormat(head);
    if (found === undefined) {
      throw new MkCiError('RES_UNKNOWN_FORMAT', {
        message: `it begins with ${JSON.stringify(head.trimStart().slice(0, 60))}`,
        advice: `Name it with --format: ${FORMATS.join(', ')}.`,
      });
    }
    await open(found.format);
  }

  return {
    async write(text) {
      if (isEmpty && text.trim() !== '') isEmpty = false;
      if (reader === undefined && run === undefined) {
        if (format !== undefined) await open(format);
        else {
          head += text;
          if (head.length >= HEAD_LENGTH) await detect();
          return;
        }
      }
      (run ?? reader)?.write(text);
    },
    async end() {
      if (isEmpty) throw new MkCiError('RES_EMPTY');
      if (reader === undefined && run === undefined) await detect();
      if (run !== undefined) return { format: 'mk-ci', run: run.end() };
      reader?.end();
      return { format: format ?? 'mk-ci' };
    },
  };
}

/** Reads the record of a run (`events.jsonl`), wherever it begins or stops. */
interface RunReader {
  write(text: string): void;
  end(): RunResult;
}

function createRunReader(): RunReader {
  const state = createRunState();
  let count = 0;
  let line = 0;
  const lines = createJsonLines({
    takeObject: () => false,
    takeLine: (text) => {
      line += 1;
      if (text.trim() === '') return;
      const event = parseEventLine(text);
      if (typeof event === 'object') {
        count += 1;
        addRunEvent(state, event);
      } else if (event !== 'unknown-type') {
        addRunRepair(state, { kind: 'broken-event', message: 'lines of the record that are no events', line });
      }
    },
  });
  return {
    write(text) {
      lines.write(text);
    },
    end() {
      lines.end();
      if (count === 0) throw new MkCiError('RES_MALFORMED', { message: 'no event of a run in it' });
      return runResult(state);
    },
  };
}
