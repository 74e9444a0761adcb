/**
 * Lines of a JSON stream from pieces of any size. A line over the limit can not be parsed as a whole within bounded
 * memory: when it is an event whose last field is `Output`, as Go writes it, it comes as several events with a part of
 * the output each; of anything else the middle is dropped.
 */
export interface JsonLines {
  write(piece: string): void;
  end(): void;
}

export interface JsonLinesOptions {
  readonly takeLine: (line: string) => void;
  /** Takes an object made from a part of a long line. */
  readonly takeObject: (text: string) => boolean;
  /** @default 4 Mi characters */
  readonly limit?: number;
  /** Of an object without output, which may have a long name. @default four times `limit` */
  readonly objectLimit?: number;
}

const OUTPUT = '"Output":"';

export function createJsonLines(options: JsonLinesOptions): JsonLines {
  const { takeLine, takeObject, limit = 4 * 1024 * 1024 } = options;
  const { objectLimit = 4 * limit } = options;
  let parts: string[] = [];
  let size = 0;
  let allowed = limit;
  /** Set while the rest of a long line comes: the event up to its output. */
  let head: string | undefined;
  let isDropping = false;
  let held = '';

  function add(text: string): void {
    if (text === '' || isDropping) return;
    if (head !== undefined) {
      continueOutput(text);
      return;
    }
    parts.push(text);
    size += text.length;
    if (size <= allowed) return;
    const line = parts.join('');
    const isObject = line.startsWith('{');
    const at = isObject ? line.indexOf(OUTPUT) : -1;
    if (at < 0 && isObject && allowed < objectLimit) {
      allowed = objectLimit;
      parts = [line];
      if (size <= allowed) return;
    }
    parts = [];
    size = 0;
    allowed = limit;
    if (at < 0) {
      takeLine(line.slice(0, limit));
      isDropping = true;
      return;
    }
    head = line.slice(0, at + OUTPUT.length);
    continueOutput(line.slice(head.length));
  }

  /** Gives out the part of the string that is complete: not cut within an escape, nor between two halves of a pair. */
  function continueOutput(text: string): void {
    const piece = held + text;
    const end = stringEnd(piece);
    const cut = end ?? safeCut(piece);
    if (cut > 0) takeObject(`${head ?? ''}${piece.slice(0, cut)}"}`);
    held = end === undefined ? piece.slice(cut) : '';
    if (end !== undefined) {
      head = undefined;
      isDropping = true;
    }
  }

  function endLine(): void {
    if (head !== undefined) {
      if (held !== '') takeObject(`${head}${held}"}`);
    } else if (!isDropping) {
      takeLine(parts.length === 1 ? (parts[0] ?? '') : parts.join(''));
    }
    parts = [];
    size = 0;
    allowed = limit;
    head = undefined;
    held = '';
    isDropping = false;
  }

  return {
    write(piece) {
      let from = 0;
      for (let at = piece.indexOf('\n'); at >= 0; at = piece.indexOf('\n', from)) {
        // The common case: a whole line within the piece.
        if (size === 0 && head === undefined && !isDropping && at - from <= limit) takeLine(piece.slice(from, at));
        else {
          add(piece.slice(from, at));
          endLine();
        }
        from = at + 1;
      }
      add(from === 0 ? piece : piece.slice(from));
    },
    end() {
      if (size > 0 || head !== undefined) endLine();
    },
  };
}

/** Index of the quote that ends a JSON string, or `undefined` when it goes on. */
function stringEnd(text: string): number | undefined {
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text[at - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  return undefined;
}

/** Longest prefix that does not end within an escape such as `\\u00e9`, or between two that make one character. */
function safeCut(text: string): number {
  // Two escapes of a pair and a backslash before them fit into 13 characters.
  for (let at = Math.max(0, text.length - 13); at < text.length; at += 1) {
    if (text[at] !== '\\') continue;
    let slashes = 0;
    while (text[at - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? text.length - 1 : text.length;
}
