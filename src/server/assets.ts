import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { MkCiError, systemErrorCode } from '../errors.js';
import { bundlePage, type PageAssets } from '../report/index.js';

let loaded: Promise<PageAssets> | undefined;

/**
 * Script and style of the dashboard as built into the package; from a source tree they are bundled on the spot.
 *
 * @throws {MkCiError} `RPT_ASSETS` when neither is there
 */
export function loadDashboardAssets(): Promise<PageAssets> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<PageAssets> {
  try {
    return JSON.parse(await readFile(join(import.meta.dirname, 'page-assets.json'), 'utf8')) as PageAssets;
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
  try {
    return await bundlePage(join(import.meta.dirname, 'page'));
  } catch (error) {
    throw new MkCiError('RPT_ASSETS', { cause: error });
  }
}
