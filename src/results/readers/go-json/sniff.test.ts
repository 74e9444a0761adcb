import { describe, expect, it } from 'vitest';

import { detectFormat } from '../registry.js';

describe('the format of events', () => {
  it.each([
    ['as Go writes them', '{"Time":"2026-01-01T00:00:00Z","Action":"run","Package":"p","Test":"A"}\n'],
    ['as another program wrote them anew', '{"Action": "run", "Package": "p", "Test": "A"}\n'],
    [
      'with a name that is longer than what is looked at',
      `{"Action":"run","Package":"p","Test":"${'A'.repeat(80_000)}`,
    ],
    ['behind other text', 'go: downloading x\nwarning: {"Action":"start","Package":"p"}\n'],
  ])('is told %s', (_, head) => {
    expect(detectFormat(head)?.format).toBe('go-json');
  });
});
