import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { collapseRedraws, cut, visibleParts, visibleText } from './visible.js';

describe('hidden characters', () => {
  it('shows controls, bidi marks and zero widths as escapes', () => {
    expect(visibleText('a\u202Eb\u0007c\u200bd\u001be\ufefff')).toBe('a\\u202eb\\x07c\\u200bd\\ee\\ufefff');
  });

  it('leaves tabs, letters of all scripts and emoji as they are', () => {
    const text = '\tÄ שלום 你好 👩‍🚀';
    expect(visibleText(text)).toBe(text);
  });

  it('shows half a surrogate pair', () => {
    expect(visibleText('x\ud83d')).toBe('x\\ud83d');
  });

  it('says the same in parts and as text, and leaves nothing hidden', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(
          visibleParts(text)
            .map((part) => part.text)
            .join(''),
        ).toBe(visibleText(text));
        // eslint-disable-next-line no-control-regex -- what must not be there
        expect(visibleText(text)).not.toMatch(/[\u0000-\u0008\u202a-\u202e\u2066-\u2069]/);
      }),
    );
  });
});

describe('cutting', () => {
  it('says how much is left out and splits no pair', () => {
    expect(cut('ab😀cd', 3)).toBe('ab… (4 more characters)');
    expect(cut('short', 10)).toBe('short');
  });
});

describe('redrawn lines', () => {
  it('shows the last state', () => {
    expect(collapseRedraws('1 %\r50 %\r100 %')).toEqual({ text: '100 %', redrawn: 2 });
    expect(collapseRedraws('done\r')).toEqual({ text: 'done', redrawn: 0 });
    expect(collapseRedraws('\r\r')).toEqual({ text: '', redrawn: 0 });
  });
});
