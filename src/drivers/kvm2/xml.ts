import sax from 'sax';

import { MkCiError, messageOf } from '../../errors.js';

/** XML as libvirt takes and gives it: small, well-formed documents. Pure. */

export interface XmlElement {
  /** With its prefix, as written. */
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlElement[];
  /** All text directly inside. */
  readonly text: string;
}

type Content = string | readonly string[];

/** An element as text. Attributes without a value are left out; `content` is XML already, see {@link xmlText}. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | number | undefined>> = {},
  content: Content = [],
): string {
  const written = Object.entries(attributes)
    .flatMap(([key, value]) => (value === undefined ? [] : [` ${key}="${xmlText(String(value))}"`]))
    .join('');
  const inner = typeof content === 'string' ? content : content.join('');
  return inner === '' ? `<${name}${written}/>` : `<${name}${written}>${inner}</${name}>`;
}

/** Text for content and for attributes in double quotes. Characters that XML has no way to hold are left out. */
export function xmlText(text: string): string {
  return (
    text
      .replace(NO_XML, '')
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
      // A reader makes spaces of these in attributes, and of the last also in text.
      .replaceAll('\t', '&#9;')
      .replaceAll('\n', '&#10;')
      .replaceAll('\r', '&#13;')
  );
}

/** All that is no character of XML 1.0. */
const NO_XML = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;

interface Growing {
  name: string;
  attributes: Record<string, string>;
  children: Growing[];
  text: string;
}

/** @throws {MkCiError} `DRV_FAILED` for what is not a whole document */
export function parseXml(document: string): XmlElement {
  const top: Growing = { name: '', attributes: {}, children: [], text: '' };
  const open: Growing[] = [top];
  const parser = sax.parser(true);
  parser.onopentag = ({ name, attributes }) => {
    const texts: Record<string, string> = {};
    for (const [key, value] of Object.entries<string | sax.QualifiedAttribute>(attributes)) {
      texts[key] = typeof value === 'string' ? value : value.value;
    }
    const child: Growing = { name, attributes: texts, children: [], text: '' };
    open.at(-1)?.children.push(child);
    open.push(child);
  };
  parser.onclosetag = () => {
    open.pop();
  };
  const add = (piece: string): void => {
    const last = open.at(-1);
    if (last !== undefined) last.text += piece;
  };
  parser.ontext = add;
  parser.oncdata = add;
  parser.onerror = (error) => {
    throw error;
  };
  try {
    parser.write(document).close();
  } catch (error) {
    throw new MkCiError('DRV_FAILED', { message: `libvirt says what is no XML: ${messageOf(error)}`, cause: error });
  }
  const [root] = top.children;
  if (root === undefined) throw new MkCiError('DRV_FAILED', { message: 'libvirt says nothing in place of XML' });
  return root;
}

/** The first element along a path of names below an element. */
export function childOf(parent: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined {
  return path.reduce<XmlElement | undefined>((at, name) => at?.children.find((child) => child.name === name), parent);
}

export function childrenOf(parent: XmlElement | undefined, name: string): readonly XmlElement[] {
  return parent?.children.filter((child) => child.name === name) ?? [];
}
