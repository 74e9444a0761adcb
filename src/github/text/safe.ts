import { redactSecrets } from '../../errors.js';

/**
 * Text from outside (names of tests, failure messages, branch names) as Markdown that can do nothing: no mention, no
 * reference, no link, no HTML, no table cell more than there should be.
 *
 * It works by construction and not by a list of dangerous things: outside of a few harmless characters everything becomes
 * a numeric character reference, which GitHub's Markdown takes for the character itself and never for structure
 * (CommonMark 0.31, 6.4 "Entity and numeric character references").
 */

/** Stands for text as it is: letters, digits and marks of every script, emoji with their joiners, and these signs. */
const HARMLESS = /[\p{L}\p{M}\p{N}\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator} /.,;=%?()+-]/u;
/** Controls, format characters (bidirectional overrides, zero width), surrogates and private use: shown by their number. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029\u115f\u1160\u3164\uffa0]/u;
/** Emoji sequences need them. */
const JOINERS = new Set(['\u200d', '\ufe0f']);

/** Text for the inside of a paragraph, heading or table cell; a line break becomes a space. Empty text becomes `(empty)`. */
export function safeText(text: string): string {
  if (text === '') return '(empty)';
  const characters = Array.from(redactSecrets(text).replaceAll(/\s*[\r\n\u2028\u2029]+\s*/g, ' '));
  return characters.map((character, index) => safeCharacter(character, characters, index)).join('');
}

function safeCharacter(character: string, all: readonly string[], index: number): string {
  if (character === '_') return isAlphanumeric(all[index - 1]) && isAlphanumeric(all[index + 1]) ? '_' : '&#95;';
  // `www.` at the start of a word is a link in GitHub's Markdown.
  if (character === '.') return (all[index - 1] ?? '').toLowerCase() === 'w' ? '&#46;' : '.';
  // A space at the end of a line, two of them or a tab mean something; one between words does not.
  if (character === ' ') return all[index - 1] === ' ' || index === 0 || index === all.length - 1 ? '&#32;' : ' ';
  if (JOINERS.has(character) && index > 0) return character;
  if (INVISIBLE.test(character))
    return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`.replace('\\', '&#92;');
  if (HARMLESS.test(character)) return character;
  return `&#${String(character.codePointAt(0) ?? 0)};`;
}

function isAlphanumeric(character: string | undefined): boolean {
  return character !== undefined && /^[A-Za-z0-9]$/.test(character);
}

/** {@link safeText} in a `<code>` element, where GitHub looks for no mention and no reference either. */
export function safeCode(text: string, most = 300): string {
  return `<code>${safeText(cutText(text, most))}</code>`;
}

/** Lines of a log in a fence that they can not close. */
export function safeFence(text: string): string {
  const clean = redactSecrets(text)
    // eslint-disable-next-line no-control-regex -- colours of a terminal
    .replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, '')
    .replaceAll(/\r\n?|[\u2028\u2029]/g, '\n')
    // A fence shows it as it is, but our own marks are looked for in the source of a comment.
    .replaceAll(/<!--(?=\s*mk-ci:)/g, '<! --')
    .replaceAll(/[\p{Cc}\p{Cf}\p{Cs}]/gu, (character) =>
      character === '\n' || character === '\t' || JOINERS.has(character)
        ? character
        : `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
    );
  const longest = [...clean.matchAll(/`+/g)].reduce((most, [run]) => Math.max(most, run.length), 2);
  const fence = '`'.repeat(longest + 1);
  return `${fence}text\n${clean}\n${fence}`;
}

/**
 * Text for places that know no Markdown, such as the title of an issue: one line, nobody mentioned.
 *
 * A zero-width space behind `@` keeps a name from being a mention wherever the title is quoted.
 */
export function safeTitle(text: string, most = 200): string {
  const line = redactSecrets(text).replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]+/gu, (found) =>
    JOINERS.has(found) ? found : ' ',
  );
  return cutText(line.trim(), most).replaceAll('@', '@\u200b');
}

/** A Markdown link of an `http:` or `https:` address; anything else gives the label alone. `label` must be safe already. */
export function safeLink(label: string, address: string | undefined): string {
  const url = safeUrl(address);
  return url === undefined ? label : `<a href="${url}">${label}</a>`;
}

/** @returns an address for an attribute in quotation marks, or `undefined` when it is none that a browser should open */
export function safeUrl(address: string | undefined): string | undefined {
  if (address === undefined || address.length > 2_000) return undefined;
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return undefined;
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  url.username = '';
  url.password = '';
  // What a table, a code span or HTML could take for structure, percent-encoded; `&` as an entity.
  return redactSecrets(url.href)
    .replaceAll(/["'<>`|\\*_[\]{}()~@\s^]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('&', '&amp;');
}

/** At most so many characters, cut in the middle, where names differ least; never inside a surrogate pair. */
export function cutText(text: string, most: number): string {
  if (text.length <= most) return text;
  const characters = Array.from(text);
  if (characters.length <= most) return text;
  const head = Math.ceil((most - 1) * 0.6);
  return `${characters.slice(0, head).join('')}…${characters.slice(characters.length - (most - 1 - head)).join('')}`;
}
