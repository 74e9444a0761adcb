import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { GENERATED } from './generate.js';

describe('generated files', () => {
  it.each(Object.keys(GENERATED))('%s is what the code says (else run npm run generate)', (path) => {
    const onDisk = readFileSync(join(import.meta.dirname, '..', path), 'utf8');
    expect(onDisk).toBe(GENERATED[path]?.());
  });
});
