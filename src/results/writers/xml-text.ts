import { stripAnsi, toWellFormed } from '../text.js';

// XML 1.0 can not hold these characters, not even as references.
// eslint-disable-next-line no-control-regex -- these are the characters that must go
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

/** Text for between tags: any string becomes valid XML; colours are dropped, forbidden characters become U+FFFD. */
export function xmlText(text: string): string {
  return clean(text).replace(/[&<>\r]/g, (character) => ENTITIES[character] ?? character);
}

/** The same for an attribute in double quotes; line ends and tabs survive a parser's normalisation. */
export function xmlAttribute(text: string): string {
  return clean(text).replace(/[&<>"\r\n\t]/g, (character) => ENTITIES[character] ?? character);
}

/** ` key="value"` for each pair that has a value. */
export function xmlAttributes(pairs: Readonly<Record<string, string | number | undefined>>): string {
  let text = '';
  for (const [key, value] of Object.entries(pairs)) {
    if (value !== undefined) text += ` ${key}="${xmlAttribute(String(value))}"`;
  }
  return text;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  // `]]>` may not stand in text.
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
  '\n': '&#10;',
  '\t': '&#9;',
};

function clean(text: string): string {
  return toWellFormed(stripAnsi(text)).replace(FORBIDDEN, '\ufffd');
}
