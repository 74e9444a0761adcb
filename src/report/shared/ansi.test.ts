import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { paletteColour, parseAnsi, stripAnsi } from './ansi.js';

describe('escape sequences', () => {
  it('gives the 16 colours as numbers, bright ones from 8', () => {
    expect(parseAnsi('a\u001b[31;1mred\u001b[0m \u001b[92mgreen')).toEqual([
      { text: 'a', style: {} },
      { text: 'red', style: { foreground: 1, bold: true } },
      { text: ' ', style: {} },
      { text: 'green', style: { foreground: 10 } },
    ]);
  });

  it('reads 256 colours and RGB, in both spellings', () => {
    expect(parseAnsi('\u001b[38;5;208mx')).toEqual([{ text: 'x', style: { foreground: 208 } }]);
    expect(parseAnsi('\u001b[48;2;1;2;255mx')).toEqual([{ text: 'x', style: { background: '#0102ff' } }]);
    expect(parseAnsi('\u001b[38:5:9mx')).toEqual([{ text: 'x', style: { foreground: 9 } }]);
  });

  it('ignores colours out of range and codes that follow them stay in step', () => {
    expect(parseAnsi('\u001b[38;5;999;1mx')).toEqual([{ text: 'x', style: { bold: true } }]);
  });

  it('leaves out cursor movements, titles and links', () => {
    expect(stripAnsi('\u001b[2Ka\u001b]0;title\u0007b\u001b]8;;http://x\u001b\\c')).toBe('abc');
  });

  it('keeps all text, whatever the sequences are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom('\u001b[', '\u001b[31m', '\u001b]', 'm', ';'), fc.string())),
        (parts) => {
          const line = parts.join('');
          expect(
            parseAnsi(line)
              .map(({ text }) => text)
              .join(''),
          ).toBe(stripAnsi(line));
        },
      ),
    );
  });

  it('computes the cube and the greys of the palette', () => {
    expect([16, 21, 196, 231, 232, 255].map(paletteColour)).toEqual([
      '#000000',
      '#0000ff',
      '#ff0000',
      '#ffffff',
      '#080808',
      '#eeeeee',
    ]);
  });
});
