import { describe, expect, it } from 'vitest';

import { rootElement } from './root-element.js';
import { XmlParser } from './xml.js';

function parse(pieces: readonly string[], attributeLimit?: number): string[] {
  const seen: string[] = [];
  const parser = new XmlParser(
    {
      open: (name, attributes) => seen.push(`<${[name, ...attributes.keys()].join(' ')}`),
      text: (piece) => seen.push(piece.slice(0, 20)),
      close: (name) => seen.push(`>${name}`),
      irregular: (kind) => seen.push(`!${kind}`),
    },
    attributeLimit === undefined ? {} : { attributeLimit },
  );
  for (const piece of pieces) parser.write(piece);
  parser.end();
  return seen;
}

describe('XML parser', () => {
  it('drops prefixes of namespaces and text before the first element', () => {
    expect(parse(['log line\n<?xml version="1.0"?><t:a x:y="1">b</t:a>'])).toEqual(['<a y', 'b', '>a']);
  });

  it('reads documents that were joined one after the other', () => {
    expect(parse(['<a></a>\n<?xml version="1.0"?><b/>'])).toEqual(['<a', '>a', '<b', '>b']);
  });

  it('closes what a cut left open and says so once', () => {
    expect(parse(['<a><b c="'])).toEqual(['<a', '!truncated', '>a']);
  });

  it('ends the document at an attribute over the limit and keeps what came before', () => {
    const huge = Array.from({ length: 8 }, () => 'n'.repeat(100_000));
    expect(parse(['<a><b/><c d="', ...huge, '"/><e/></a>'], 300_000)).toEqual(['<a', '<b', '>b', '!truncated', '>a']);
    expect(parse(['<a><c d="', ...huge, '"/><e/></a>'])).toEqual(['<a', '<c d', '>c', '<e', '>e', '>a']);
  });

  it('takes long text before a long attribute as no fault', () => {
    const text = Array.from({ length: 8 }, () => 'n'.repeat(100_000));
    expect(parse(['<a>', ...text, '<c d="', 'x'.repeat(100_000), '"/></a>'], 300_000)).not.toContain('!truncated');
  });

  it('stops after a thousand errors in place of reporting millions', () => {
    const seen = parse([`<a>${'</b>'.repeat(3000)}</a>`]);
    expect(seen.filter((entry) => entry === '!malformed-xml').length).toBeLessThanOrEqual(1000);
    expect(seen).toContain('!truncated');
  });

  it('finds the root element behind prolog, comments and a document type', () => {
    expect(rootElement('<?xml version="1.0"?><!-- <no> --><!DOCTYPE x SYSTEM "y.dtd"><trx:TestRun id="1">')).toBe(
      'TestRun',
    );
    expect(rootElement('ok 1 - fine')).toBeUndefined();
  });
});
