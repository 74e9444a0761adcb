/** Makes text safe to read: what would be invisible or turn the reading direction is shown as an escape. */

/** A run of plain text, or one character that is shown as its escape. */
export interface VisiblePart {
  readonly text: string;
  readonly escaped: boolean;
}

// Controls except tab; soft hyphen; bidi marks, embeddings, overrides and isolates; zero width; line and paragraph
// separators; byte order mark; tags and variation selectors are left alone: they belong to emoji.

const HIDDEN =
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

export function visibleParts(text: string): VisiblePart[] {
  const parts: VisiblePart[] = [];
  let from = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (match.index > from) parts.push({ text: text.slice(from, match.index), escaped: false });
    parts.push({ text: escapeOf(match[0]), escaped: true });
    from = match.index + match[0].length;
  }
  if (from < text.length) parts.push({ text: text.slice(from), escaped: false });
  return parts;
}

/** The same as one string, for titles and labels. */
export function visibleText(text: string): string {
  return text.replace(HIDDEN, escapeOf);
}

function escapeOf(character: string): string {
  const code = character.charCodeAt(0);
  if (code === 0x1b) return '\\e';
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
}

/** Cuts at `limit` characters with the number of those left out; never inside a surrogate pair. */
export function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const end = /[\ud800-\udbff]/.test(text.charAt(limit - 1)) ? limit - 1 : limit;
  return `${text.slice(0, end)}… (${(text.length - end).toLocaleString('en-US')} more characters)`;
}

/**
 * What a terminal would show of a line that was redrawn with carriage returns: its last non-empty state.
 *
 * @returns the text, and how many earlier states were left out
 */
export function collapseRedraws(line: string): { readonly text: string; readonly redrawn: number } {
  if (!line.includes('\r')) return { text: line, redrawn: 0 };
  const states = line.split('\r').filter((state) => state !== '');
  return { text: states.at(-1) ?? '', redrawn: Math.max(0, states.length - 1) };
}
