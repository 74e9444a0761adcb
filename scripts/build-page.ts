/**
 * Bundles the report page and the dashboard into `page-assets.json` of `dist/report` and `dist/server`. Run by
 * `npm run build` after tsc: `tsx scripts/build-page.ts`.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { bundlePage } from '../src/report/page-assets.js';

const root = join(import.meta.dirname, '..');

async function main(): Promise<void> {
  for (const room of ['report', 'server']) {
    const assets = await bundlePage(join(root, 'src', room, 'page'));
    const folder = join(root, 'dist', room);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'page-assets.json'), JSON.stringify(assets));
  }
}

void main();
