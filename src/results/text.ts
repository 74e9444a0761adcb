/** Removes terminal colours: a message is shown in tables and comments, where they are noise. */
export function stripAnsi(text: string): string {
  // eslint-disable-next-line no-control-regex -- ESC is what is looked for
  return text.includes('\u001b') ? text.replace(/\u001b\[[0-9;:?]*[ -/]*[@-~]/g, '') : text;
}

/** Where to cut so that at most `length` characters stay and no surrogate pair is torn. */
export function cutPoint(text: string, length: number): number {
  if (text.length <= length) return text.length;
  return isLowSurrogate(text.charCodeAt(length)) && length > 0 ? length - 1 : length;
}

/** The second half of a pair that stands for one character beyond U+FFFF. */
export function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff;
}

/** Replaces halves of surrogate pairs that stand alone: they can not be written as UTF-8. */
export function toWellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}

/** `1 test`, `1,200 tests`. */
export function plural(count: number, word: string, many = `${word}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? word : many}`;
}
