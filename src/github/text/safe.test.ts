import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { cutText, safeCode, safeFence, safeLink, safeText, safeTitle, safeUrl } from './safe.js';

/** Names made of what hurts, beside any other text. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom(
        '@octocat',
        '|',
        '`',
        '```',
        '<img src=x onerror=alert(1)>',
        '</details>',
        '-->',
        '<!-- mk-ci:',
        '#12',
        'fixes #1',
        '\n',
        '\r\n# h',
        '[a](http://b)',
        '![x](y)',
        '&#124;',
        '&lt;',
        'www.evil.example',
        'https://evil.example',
        'user@example.com',
        '\\|',
        '**b**',
        '__i__',
        '~~s~~',
        '$x$',
        '#01',
        'a=b',
        '🎉',
        '👩‍👩‍👧',
        '\u202e',
        '\u2028',
        ' ',
        ':tada:',
        'GH-1',
        '\0',
      ),
      { maxLength: 8 },
    )
    .map((parts) => parts.join('')),
);

/** What a browser makes of numeric references. */
const decode = (text: string) => text.replaceAll(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)));

describe('text from outside', () => {
  it('leaves nothing that Markdown or HTML could take for structure', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const rest = safeText(text).replaceAll(/&#\d+;/g, '');
        expect(rest).not.toMatch(/[|`<>@#*[\]\\!~$&:"'{}^\n\r]/);
        expect(rest).not.toMatch(/www\./i);
        expect(rest).not.toMatch(/(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/);
      }),
    );
  });

  it('is read as it was written', () => {
    for (const name of [
      'TestA/b#01',
      'x=1|y',
      'a`b`c',
      '@octocat',
      '<b>',
      'Grüße 🎉 👩‍👩‍👧',
      'snake_case_',
      'www.x.y',
      'a\\b',
    ]) {
      expect(decode(safeText(name))).toBe(name);
    }
    expect(safeText('TestStart/parallel/a_b')).toBe('TestStart/parallel/a_b');
    expect(decode(safeText('a\u202eb\0'))).toBe('a\\u202eb\\u0000');
    expect(safeText('')).toBe('(empty)');
  });

  it('can not leave its code element or its fence', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(safeCode(text).slice('<code>'.length, -'</code>'.length)).not.toContain('<');
        const lines = safeFence(text).split('\n');
        const fence = lines.at(-1) ?? '';
        expect(fence).toMatch(/^`{3,}$/);
        // A line closes the fence only when it is made of at least as many backticks.
        for (const line of lines.slice(1, -1))
          expect(/^\s*(`+)\s*$/.exec(line)?.[1]?.length ?? 0).toBeLessThan(fence.length);
      }),
    );
  });

  it('gives titles of one line that mention nobody', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(safeTitle(text)).not.toMatch(/[\n\r]|@(?!\u200b)/);
      }),
    );
  });

  it('links only addresses of the web, and none can leave its attribute', () => {
    expect(safeUrl('javascript:alert(1)')).toBeUndefined();
    expect(safeUrl('data:text/html,x')).toBeUndefined();
    expect(safeUrl('not an address')).toBeUndefined();
    expect(safeLink('report', 'ftp://x')).toBe('report');
    expect(safeUrl('https://user:secret@example.com/a?b=1&c="><script>|`')).toBe(
      'https://example.com/a?b=1&amp;c=%22%3E%3Cscript%3E%7C%60',
    );
    fc.assert(
      fc.property(hostile, (text) => {
        expect(safeUrl(`https://example.com/${text}`) ?? '').not.toMatch(/["'<>`|\s@]/);
      }),
    );
  });

  it('removes secrets wherever text goes', () => {
    const token = `ghp_${'a'.repeat(36)}`;
    for (const safe of [safeText, safeCode, safeFence, safeTitle]) expect(safe(`x ${token} y`)).not.toContain(token);
  });

  it('cuts in the middle, never through a character', () => {
    expect(cutText('abcdefghij', 5)).toBe('abc…j');
    expect(Array.from(cutText('🎉'.repeat(20), 7))).toHaveLength(7);
  });
});
