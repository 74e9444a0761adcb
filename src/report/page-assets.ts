import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { MkCiError, systemErrorCode } from '../errors.js';

/** Script and style of the page, to be put into it. */
export interface PageAssets {
  readonly script: string;
  readonly style: string;
}

let loaded: Promise<PageAssets> | undefined;

/**
 * The built page: `page-assets.json` beside this module in a package, made by `scripts/build-page.ts`; from a source tree
 * it is bundled on the spot.
 *
 * @throws {MkCiError} `RPT_ASSETS` when neither is there
 */
export function loadPageAssets(): Promise<PageAssets> {
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
    return await bundlePage();
  } catch (error) {
    throw new MkCiError('RPT_ASSETS', { cause: error });
  }
}

/** Bundles `src/report/page`; needs esbuild, which is there in a source tree. */
export async function bundlePage(sourceDir: string = join(import.meta.dirname, 'page')): Promise<PageAssets> {
  const { build } = await import('esbuild');
  const bundle = async (entry: string): Promise<string> => {
    const { outputFiles } = await build({
      entryPoints: [join(sourceDir, entry)],
      bundle: true,
      write: false,
      minify: true,
      charset: 'utf8',
      format: 'iife',
      target: ['chrome100', 'firefox113', 'safari16.4'],
      legalComments: 'none',
      logLevel: 'silent',
    });
    return (outputFiles[0]?.text ?? '').trimEnd();
  };
  return { script: await bundle('main.ts'), style: await bundle('style.css') };
}
