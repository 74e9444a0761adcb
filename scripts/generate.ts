import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { renderJsonSchema } from '../src/config/json-schema.js';
import { renderConfigReference } from '../src/config/reference.js';
import { renderErrorReference } from '../src/error-reference.js';

/** Files of the repository that are made from code. `npm run generate` writes them, a test checks that they are current. */
export const GENERATED: Readonly<Record<string, () => string>> = {
  'mk-ci.schema.json': renderJsonSchema,
  'docs/reference/configuration.md': renderConfigReference,
  'docs/reference/errors.md': renderErrorReference,
};

const root = join(import.meta.dirname, '..');

if (process.argv[1] === import.meta.filename) {
  for (const [path, render] of Object.entries(GENERATED)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), render());
  }
}
