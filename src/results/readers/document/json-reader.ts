import { MkCiError } from '../../../errors.js';
import type { Emit, Format, Reader, ReaderOptions } from '../../reader.js';
import { JsonScanner } from './json-scanner.js';
import { RepairNotes } from './repairs.js';

/** What a reader of one JSON format does with the values of a document. */
export interface JsonShape {
  /** Containers to look into; see `JsonScanner`. */
  readonly walk: ReadonlySet<string>;
  /** A value that is not walked into. @returns true when it is one that only a document of this format has */
  value(path: string, value: unknown): boolean;
  /** The document is complete or was cut off. */
  finish?(): void;
}

export interface JsonContext {
  readonly emit: Emit;
  readonly repairs: RepairNotes;
  readonly options: ReaderOptions;
}

/**
 * A reader of one JSON document.
 *
 * Its `end` throws `RES_MALFORMED` when nothing in the document belonged to the format (naming the keys that were found),
 * `RES_TOO_LARGE` when a single value was over the limit and nothing else was read.
 *
 * @param create makes the shape for one document
 */
export function createJsonReader(
  format: Format,
  emit: Emit,
  options: ReaderOptions,
  create: (context: JsonContext) => JsonShape,
): Reader {
  const repairs = new RepairNotes();
  const shape = create({ emit, repairs, options });
  const keys = new Set<string>();
  let isKnown = false;
  let tooLarge: string | undefined;
  const note = (path: string): void => {
    const key = path.split(/[.[]/, 1)[0] ?? '';
    if (keys.size < 20 && key !== '') keys.add(key.slice(0, 40));
  };
  const scanner = new JsonScanner({
    walk: (path) => {
      note(path);
      return shape.walk.has(path);
    },
    value: (path, value) => {
      note(path);
      if (shape.value(path, value)) isKnown = true;
    },
    irregular: (kind, message) => {
      if (kind === 'too-large') tooLarge = message;
      repairs.add(kind, message);
    },
  });
  return {
    format,
    write: (piece) => {
      scanner.write(piece);
    },
    end: () => {
      scanner.end();
      shape.finish?.();
      repairs.emitAll(emit);
      if (isKnown) return;
      if (tooLarge !== undefined) throw new MkCiError('RES_TOO_LARGE', { message: tooLarge });
      const found = keys.size === 0 ? 'no JSON object' : `an object with ${[...keys].join(', ')}`;
      throw new MkCiError('RES_MALFORMED', { message: `this is no ${format} report: ${found} was found` });
    },
  };
}
