import type { Failure } from '../../model.js';
import { cutPoint, isLowSurrogate, stripAnsi } from '../../text.js';

/** Longest `Failure.message`. */
const MESSAGE_LIMIT = 1000;
/** A failure's text keeps this much of its beginning and of its end; together under the 64 KiB of `Failure.text`. */
const TEXT_HEAD = 40 * 1024;
const TEXT_TAIL = 20 * 1024;

/** Collects text of any length and keeps its beginning and its end, so memory stays bounded. */
export class BoundedText {
  #head = '';
  #tail = '';
  #dropped = 0;

  get isEmpty(): boolean {
    return this.#head === '';
  }

  add(piece: string): void {
    let rest = piece;
    if (this.#head.length < TEXT_HEAD) {
      const room = cutPoint(rest, TEXT_HEAD - this.#head.length);
      this.#head += rest.slice(0, room);
      rest = rest.slice(room);
    }
    if (rest === '') return;
    this.#tail += rest;
    // Cut only now and then: a slice for each small piece would copy the tail again and again.
    if (this.#tail.length > 4 * TEXT_TAIL) this.#trim();
  }

  toString(): string {
    if (this.#tail.length > TEXT_TAIL) this.#trim();
    if (this.#dropped === 0) return this.#head + this.#tail;
    return `${this.#head}\n… ${this.#dropped} characters left out …\n${this.#tail}`;
  }

  #trim(): void {
    let start = this.#tail.length - TEXT_TAIL;
    if (isLowSurrogate(this.#tail.charCodeAt(start))) start += 1;
    this.#dropped += start;
    this.#tail = this.#tail.slice(start);
  }
}

/** Cuts a text in the middle to what `Failure.text` may hold. */
export function boundText(text: string): string {
  if (text.length <= TEXT_HEAD + TEXT_TAIL) return text;
  const bounded = new BoundedText();
  bounded.add(text);
  return bounded.toString();
}

/** What a format tells about a failure. */
export interface FailureParts {
  /** The message as given, of any length and number of lines. */
  readonly message?: string | undefined;
  /** The stack or log below it. */
  readonly text?: string | undefined;
  /** Such as `java.lang.AssertionError`. */
  readonly type?: string | undefined;
  readonly kind?: Failure['kind'] | undefined;
  readonly file?: string | undefined;
  readonly line?: number | undefined;
}

/**
 * A `Failure` from the parts that a document gives: the first line that names the cause, the text around it, and the
 * place when one is named.
 */
export function makeFailure(parts: FailureParts): Failure {
  const given = stripAnsi(parts.message ?? '').trim();
  const body = parts.text ?? '';
  const plainBody = stripAnsi(body);
  const message = causeLine(given) ?? causeLine(plainBody) ?? parts.type ?? 'failed without a message';
  // The message is repeated as text when the line taken from it does not say all of it.
  const text = body.trim() === '' ? (given === message ? '' : given) : body;
  const place = parts.file === undefined ? findPlace(plainBody === '' ? given : plainBody) : undefined;
  const file = parts.file ?? place?.file;
  const line = parts.line ?? place?.line;
  return {
    message: message.length > MESSAGE_LIMIT ? `${message.slice(0, cutPoint(message, MESSAGE_LIMIT - 1))}…` : message,
    ...(text.trim() === '' ? {} : { text: boundText(trimBlankLines(text)) }),
    kind: parts.kind ?? kindOf(`${parts.type ?? ''} ${message}`, plainBody),
    ...(file === undefined ? {} : { file }),
    ...(line === undefined ? {} : { line }),
  };
}

/** Several failures of one test become one: the first speaks, the others follow in its text. */
export function joinFailures(failures: readonly Failure[]): Failure | undefined {
  const [first, ...others] = failures;
  if (first === undefined || others.length === 0) return first;
  const text = failures.map((failure) => failure.text ?? failure.message).join('\n\n');
  return {
    ...first,
    message: `${first.message.slice(0, cutPoint(first.message, MESSAGE_LIMIT - 40))} (and ${others.length} more)`,
    text: boundText(text),
  };
}

// pytest marks the lines that say why with a leading E; the first line of its message is often only the source.
const PYTEST_CAUSE = /^E {2,}(\S.*)$/m;

function causeLine(text: string): string | undefined {
  const head = text.slice(0, 64 * 1024);
  const marked = PYTEST_CAUSE.exec(head)?.[1];
  if (marked !== undefined) return marked.trim();
  for (const line of head.split('\n', 200)) {
    const trimmed = line.trim();
    if (trimmed !== '') return trimmed;
  }
  return undefined;
}

function kindOf(message: string, text: string): NonNullable<Failure['kind']> {
  const head = text.slice(0, 4096);
  if (/\btimed? ?out\b|timeout/i.test(message) || /^panic: test timed out/m.test(head)) return 'timeout';
  if (/^ ?panic(?:ked)?\b/i.test(message) || /^panic: /m.test(head)) return 'panic';
  if (/\[build failed\]|\bbuild (?:error|failed)\b/i.test(message)) return 'build';
  if (/\[setup failed\]|\bsetup failed\b/i.test(message)) return 'setup';
  if (/assert|expect|comparison/i.test(message)) return 'assertion';
  return 'other';
}

const PLACE = /((?:[A-Za-z]:)?[\w@.+~/\\-]*[\w-]\.[A-Za-z]{1,5})(?::|", line |\()(\d{1,7})\b/g;
const FOREIGN = /node_modules|node:internal|site-packages|\/usr\/|\/go\/src\/|\/testing\.go$|junit|org[./]\w+[./]/i;

/** First `file.ext:12` (or `file.py", line 12`) that is not plainly inside a library. */
function findPlace(text: string): { file: string; line: number } | undefined {
  let fallback: { file: string; line: number } | undefined;
  for (const match of text.slice(0, 16 * 1024).matchAll(PLACE)) {
    const [, file, line] = match;
    if (file === undefined || line === undefined || /^\d+\.\d+$/.test(file)) continue;
    const place = { file, line: Number(line) };
    if (!FOREIGN.test(file)) return place;
    fallback ??= place;
  }
  return fallback;
}

function trimBlankLines(text: string): string {
  return text.replace(/^(?:[ \t]*\r?\n)+/, '').trimEnd();
}
