import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { problemOfManifest } from './check-manifest.js';

describe('a manifest of the user', () => {
  it('is one or more objects with a kind, in YAML or JSON', () => {
    expect(problemOfManifest('kind: Namespace\nmetadata: { name: a }\n')).toBeUndefined();
    expect(problemOfManifest('---\n# a licence\n---\nkind: A\n---\nkind: B\n')).toBeUndefined();
    expect(problemOfManifest('{"kind": "List", "items": []}')).toBeUndefined();
  });

  it('is refused with the reason, before a node is made', () => {
    expect(problemOfManifest('not: [yaml')).toMatch(/line 1, column/);
    expect(problemOfManifest('kind: A\n---\nname: b\n')).toBe('a document without kind');
    expect(problemOfManifest('a page that was not found')).toBe('a document without kind');
    expect(problemOfManifest('')).toBe('empty');
    expect(problemOfManifest('# nothing\n')).toBe('empty');
  });

  it('is judged whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(typeof problemOfManifest(text)).toMatch(/string|undefined/);
      }),
    );
  });
});
