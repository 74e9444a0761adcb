/** Longest value that is parsed at once: one test file of a JSON report, not the whole report. */
const VALUE_LIMIT = 64 * 1024 * 1024;

export interface JsonHandler {
  /**
   * Whether to look inside the object or array at this path, so that its members come one by one.
   *
   * @param path '' for the document, `a.b` for members, `a[]` for the elements of an array
   */
  walk(path: string): boolean;
  /** A complete value at a path that is not walked into. */
  value(path: string, value: unknown): void;
  /** `truncated`: the document ends too early. `malformed-json`: it can not be read further, or one value was left out. */
  irregular(kind: 'truncated' | 'malformed-json' | 'too-large' | 'surrounding-text', message: string): void;
}

type State = 'seek' | 'value' | 'key' | 'colon' | 'after' | 'capture' | 'done';

/**
 * Push parser that takes a large JSON document apart: containers the handler walks into are never held, everything else
 * is collected and parsed with `JSON.parse`. So memory follows the largest single value, and of a document that was cut
 * off all complete values are kept. Text before the document is skipped up to a line that begins with `{`.
 */
export class JsonScanner {
  readonly #handler: JsonHandler;
  readonly #limit: number;
  readonly #stack: { readonly isArray: boolean; readonly path: string }[] = [];
  #state: State = 'seek';
  /** Path of the value that is expected or being captured. */
  #path = '';
  #atLineStart = true;
  #skipped = false;
  #trailing = false;
  // Of the value being captured (or the key, which is captured the same way).
  #parts: string[] = [];
  #length = 0;
  #depth = 0;
  #kind: 'string' | 'container' | 'scalar' = 'scalar';
  #inString = false;
  #isEscaped = false;
  #isKey = false;

  constructor(handler: JsonHandler, options: { readonly valueLimit?: number } = {}) {
    this.#handler = handler;
    this.#limit = options.valueLimit ?? VALUE_LIMIT;
  }

  write(piece: string): void {
    let index = 0;
    while (index < piece.length) {
      switch (this.#state) {
        case 'seek':
          index = this.#seek(piece, index);
          break;
        case 'capture':
          index = this.#capture(piece, index);
          break;
        case 'done':
          this.#trailing ||= piece.slice(index).trim() !== '';
          return;
        default:
          index = this.#step(piece, index);
      }
    }
  }

  end(): void {
    if (this.#state === 'capture' && this.#kind === 'scalar' && this.#stack.length === 0) this.#finishCapture();
    if (this.#skipped) this.#handler.irregular('surrounding-text', 'text before the JSON document was skipped');
    if (this.#trailing) this.#handler.irregular('surrounding-text', 'text after the JSON document was skipped');
    if (this.#state !== 'done' && this.#state !== 'seek') {
      const place = this.#path === '' ? '' : ` at ${this.#path}`;
      this.#handler.irregular('truncated', `the JSON document ends too early${place}`);
    }
    this.#state = 'done';
  }

  #seek(piece: string, start: number): number {
    for (let index = start; index < piece.length; index += 1) {
      const character = piece.charAt(index);
      if (character === '{' && this.#atLineStart) {
        this.#state = 'value';
        return index;
      }
      if (character === '\n') this.#atLineStart = true;
      else if (!isSpace(character)) {
        this.#atLineStart = false;
        this.#skipped = true;
      }
    }
    return piece.length;
  }

  /** One character outside captured values. */
  #step(piece: string, index: number): number {
    const character = piece.charAt(index);
    if (isSpace(character)) return index + 1;
    const top = this.#stack.at(-1);
    const isClosing = character === (top?.isArray === true ? ']' : '}');
    switch (this.#state) {
      case 'key':
        if (isClosing) return this.#close(index);
        if (character === ',') return index + 1;
        if (character !== '"') return this.#break(`a key was expected, not ${character}`);
        this.#begin('string', true);
        return index;
      case 'colon':
        if (character !== ':') return this.#break(`a colon was expected, not ${character}`);
        this.#state = 'value';
        return index + 1;
      case 'after':
        if (isClosing) return this.#close(index);
        if (character !== ',') return this.#break(`a comma was expected, not ${character}`);
        this.#state = top?.isArray === true ? 'value' : 'key';
        if (top?.isArray === true) this.#path = `${top.path}[]`;
        return index + 1;
      default:
        return this.#openValue(character, index, isClosing && top?.isArray === true);
    }
  }

  #openValue(character: string, index: number, isEmptyArray: boolean): number {
    if (isEmptyArray) return this.#close(index);
    if ((character === '{' || character === '[') && this.#handler.walk(this.#path)) {
      const isArray = character === '[';
      this.#stack.push({ isArray, path: this.#path });
      this.#state = isArray ? 'value' : 'key';
      if (isArray) this.#path += '[]';
      return index + 1;
    }
    if (/[,:}\]]/.test(character)) return this.#break(`a value was expected, not ${character}`);
    this.#begin(character === '"' ? 'string' : character === '{' || character === '[' ? 'container' : 'scalar', false);
    return index;
  }

  #begin(kind: 'string' | 'container' | 'scalar', isKey: boolean): void {
    this.#state = 'capture';
    this.#kind = kind;
    this.#isKey = isKey;
    this.#parts = [];
    this.#length = 0;
    this.#depth = 0;
    this.#inString = false;
    this.#isEscaped = false;
  }

  /** Takes in as much of the value as the piece holds. */
  #capture(piece: string, start: number): number {
    let index = start;
    for (; index < piece.length; index += 1) {
      const code = piece.charCodeAt(index);
      if (this.#inString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (code === BACKSLASH) this.#isEscaped = true;
        else if (code === QUOTE) {
          this.#inString = false;
          if (this.#kind === 'string') return this.#take(piece, start, index + 1, true);
        }
        continue;
      }
      if (code === QUOTE) {
        if (this.#kind === 'scalar') return this.#take(piece, start, index, true);
        this.#inString = true;
      } else if (this.#kind === 'scalar') {
        if (code === COMMA || code === END_OBJECT || code === END_ARRAY || isSpace(piece.charAt(index))) {
          return this.#take(piece, start, index, true);
        }
      } else if (code === OBJECT || code === ARRAY) this.#depth += 1;
      else if (code === END_OBJECT || code === END_ARRAY) {
        this.#depth -= 1;
        if (this.#depth === 0) return this.#take(piece, start, index + 1, true);
      }
    }
    return this.#take(piece, start, index, false);
  }

  #take(piece: string, start: number, end: number, isComplete: boolean): number {
    this.#length += end - start;
    if (this.#length > this.#limit) {
      this.#handler.irregular('too-large', `the value at ${this.#path} exceeds ${this.#limit} characters`);
      this.#state = 'done';
      return piece.length;
    }
    this.#parts.push(piece.slice(start, end));
    if (isComplete) this.#finishCapture();
    return end;
  }

  #finishCapture(): void {
    const text = this.#parts.join('');
    this.#parts = [];
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      // The borders of the value were found, so the rest of the document can still be read.
      if (!(error instanceof SyntaxError) && !(error instanceof RangeError)) throw error;
      this.#handler.irregular('malformed-json', `at ${this.#path === '' ? 'the top' : this.#path}: ${error.message}`);
      value = undefined;
    }
    const top = this.#stack.at(-1);
    if (this.#isKey) {
      this.#path = `${top?.path ?? ''}${top?.path === '' || top === undefined ? '' : '.'}${String(value)}`;
      this.#state = 'colon';
      return;
    }
    this.#state = this.#stack.length === 0 ? 'done' : 'after';
    if (value !== undefined) this.#handler.value(this.#path, value);
  }

  #close(index: number): number {
    const closed = this.#stack.pop();
    this.#path = closed?.path ?? '';
    this.#state = this.#stack.length === 0 ? 'done' : 'after';
    return index + 1;
  }

  #break(message: string): number {
    this.#handler.irregular('malformed-json', `${message}${this.#path === '' ? '' : ` near ${this.#path}`}`);
    this.#state = 'done';
    return Number.MAX_SAFE_INTEGER;
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OBJECT = 0x7b;
const END_OBJECT = 0x7d;
const ARRAY = 0x5b;
const END_ARRAY = 0x5d;

function isSpace(character: string): boolean {
  return character === ' ' || character === '\n' || character === '\r' || character === '\t';
}
