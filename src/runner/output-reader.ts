import { MkCiError, isMkCiError, messageOf } from '../errors.js';
import type { ReadEvent } from '../results/events.js';
import type { CreateReader, Emit, Format, Reader } from '../results/reader.js';

/** Formats as the runner needs them; `src/results/readers` has them all. */
export interface Formats {
  /** The format of text that begins like this, or `undefined`. */
  detect(head: string): { readonly format: Format; readonly certainty: number } | undefined;
  /** `undefined` for a format that can not be read. */
  load(format: Format): Promise<CreateReader | undefined>;
}

export interface OutputReaderOptions {
  readonly formats: Formats;
  readonly format: Format | 'auto';
  readonly emit: Emit;
  /** Folder that paths of test files are made relative to. @default paths stay as they are */
  readonly baseFolder?: string;
}

/** Reads one output while it is written: bytes in, events out. */
export interface OutputReader {
  write(piece: Uint8Array): Promise<void>;
  /** @param timedOut tests that have not ended get `timedout` in place of `notrun` */
  end(options: { readonly timedOut: boolean }): Promise<void>;
  /** What is read; `undefined` while, or because, nothing was recognised. */
  readonly format: Format | undefined;
  /** Tests and packages seen so far. */
  readonly resultCount: number;
}

/** Characters looked at to recognise a format. */
const HEAD_LENGTH = 64 * 1024;
/** A format is taken before the head is full only when it is this sure. */
const SURE = 0.9;

/**
 * Reads the output of a suite, its format given or recognised by its beginning.
 *
 * @throws {MkCiError} `RES_UNKNOWN_FORMAT` when the format given can not be read
 */
export async function createOutputReader(options: OutputReaderOptions): Promise<OutputReader> {
  const { formats } = options;
  let resultCount = 0;
  let timedOut = false;
  let reader: Reader | undefined;
  let format: Format | undefined;
  let head = '';
  let nextLook = 1;
  let text: ((piece: Uint8Array) => string) | undefined;

  const emit = (event: ReadEvent): void => {
    if (event.type === 'test-started' || event.type === 'test-ended' || event.type === 'package-ended')
      resultCount += 1;
    const struck = timedOut && event.type === 'test-ended' && event.status === 'notrun';
    options.emit(struck ? { ...event, status: 'timedout' } : event);
  };
  const open = async (wanted: Format): Promise<void> => {
    const create = await formats.load(wanted);
    if (create === undefined) throw new MkCiError('RES_UNKNOWN_FORMAT', { message: `${wanted} can not be read` });
    format = wanted;
    reader = create(emit, options.baseFolder === undefined ? {} : { baseFolder: options.baseFolder });
  };
  // A reader never throws for what an input holds; if one does, the rest of the output is kept but no longer read.
  const guard = (action: (reader: Reader) => void): void => {
    if (reader === undefined) return;
    try {
      action(reader);
    } catch (error) {
      if (isMkCiError(error, 'RUN_OUTPUT')) throw error; // from whoever takes the events
      reader = undefined;
      emit({ type: 'repair', kind: 'unreadable', message: messageOf(error).slice(0, 1000) });
    }
  };
  const take = async (piece: string, isLast: boolean): Promise<void> => {
    if (format !== undefined) {
      if (piece !== '')
        guard((open) => {
          open.write(piece);
        });
      return;
    }
    if (head.length >= HEAD_LENGTH) return;
    head += piece;
    const isFull = isLast || head.length >= HEAD_LENGTH;
    if (!isFull && head.length < nextLook) return;
    // Looking again only when the head has doubled keeps many small pieces cheap.
    nextLook = head.length * 2;
    const found = formats.detect(head.slice(0, HEAD_LENGTH));
    if (found === undefined || (!isFull && found.certainty < SURE)) return;
    await open(found.format);
    const begun = head;
    head = '';
    guard((open) => {
      open.write(begun);
    });
  };

  if (options.format !== 'auto') await open(options.format);
  return {
    write: async (piece) => {
      text ??= decoderFor(piece);
      await take(text(piece), false);
    },
    end: async (end) => {
      await take(text?.(new Uint8Array()) ?? '', true);
      ({ timedOut } = end);
      guard((open) => {
        open.end();
      });
    },
    get format() {
      return format;
    },
    get resultCount() {
      return resultCount;
    },
  };
}

/** Decoder by the byte order mark; without one UTF-8, with U+FFFD for what is not. An empty piece ends the input. */
function decoderFor(first: Uint8Array): (piece: Uint8Array) => string {
  const [a, b] = first;
  const encoding = a === 0xff && b === 0xfe ? 'utf-16le' : a === 0xfe && b === 0xff ? 'utf-16be' : 'utf-8';
  const decoder = new TextDecoder(encoding);
  return (piece) => decoder.decode(piece, { stream: piece.length > 0 });
}
