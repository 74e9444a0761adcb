import { stripAnsi, toWellFormed } from '../text.js';

const INVISIBLE =
  // eslint-disable-next-line no-control-regex -- these characters must not act
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** Text without what could act on the reader: colours, control and bidi characters. */
export function plainText(text: string): string {
  return toWellFormed(stripAnsi(text)).replace(INVISIBLE, '\ufffd');
}

/**
 * Any text as one line of Markdown that shows itself: no markup, no HTML, no links, no mentions of people or issues, and
 * nothing that would end a table cell.
 */
export function markdownLine(text: string): string {
  return (
    plainText(text)
      .replace(/\s+/g, ' ')
      .trim()
      .replace(/[&<>]/g, (character) => (character === '&' ? '&amp;' : character === '<' ? '&lt;' : '&gt;'))
      .replace(/#(?=\d)/g, '#\u200d')
      .replace(/[\\`*_{}[\]()#+!|~$-]/g, (character) => `&#${character.charCodeAt(0)};`)
      // GitHub links @name, #12 and URLs even where they come from entities; a zero-width joiner, not seen, breaks that.
      .replace(/@(?=\w)/g, '@\u200d')
      .replace(/:\/\//g, ':\u200d//')
      .replace(/www\./gi, (word) => `${word.slice(0, 3)}\u200d.`)
  );
}

/** Any text in a code span inside HTML, as for a heading or a table: `<code>` needs no count of backticks. */
export function markdownCode(text: string): string {
  return `<code>${markdownLine(text)}</code>`;
}

/** Any text as a fenced block; the fence is longer than any run of backticks in it. */
export function markdownBlock(text: string): string {
  const plain = plainText(text.replace(/\r\n?/g, '\n'));
  const longest = plain.match(/`{3,}/g)?.reduce((most, run) => Math.max(most, run.length), 2) ?? 2;
  const fence = '`'.repeat(longest + 1);
  return `${fence}text\n${plain}\n${fence}\n`;
}
