import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Version of this package, as published. */
export const VERSION: string = readVersion();

function readVersion(): string {
  // One folder up from both `src/` and `dist/`.
  const file = join(import.meta.dirname, '..', 'package.json');
  const parsed = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
  return parsed.version;
}
