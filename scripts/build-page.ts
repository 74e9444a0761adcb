/** Bundles the report page into `dist/report/page-assets.json`. Run by `npm run build` after tsc: `tsx scripts/build-page.ts`. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { bundlePage } from '../src/report/page-assets.js';

const root = join(import.meta.dirname, '..');

async function main(): Promise<void> {
  const assets = await bundlePage(join(root, 'src', 'report', 'page'));
  const folder = join(root, 'dist', 'report');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'page-assets.json'), JSON.stringify(assets));
}

void main();
