import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { MkCiError, systemErrorCode } from '../errors.js';

/** Script and style of the page, to be put into it. */
export interface PageAssets {
  readonly script: string;
  readonly style: string;
}

/**
 * The built page of a folder of `src`: `page-assets.json` in it in a package, made by `scripts/build-page.ts`; in a source
 * tree `page/` in it is bundled on the spot. Made once.
 *
 * @returns a function that throws {MkCiError} `RPT_ASSETS` when neither is there
 */
export function createAssetLoader(folder: string): () => Promise<PageAssets> {
  let loaded: Promise<PageAssets> | undefined;
  return () => (loaded ??= load(folder));
}

/** The page of a report. */
export const loadPageAssets = createAssetLoader(import.meta.dirname);

async function load(folder: string): Promise<PageAssets> {
  try {
    return JSON.parse(await readFile(join(folder, 'page-assets.json'), 'utf8')) as PageAssets;
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
  try {
    return await bundlePage(join(folder, 'page'));
  } catch (error) {
    throw new MkCiError('RPT_ASSETS', { cause: error });
  }
}

/** Bundles `main.ts` and `style.css` of a folder; needs esbuild, which is there in a source tree. */
export async function bundlePage(sourceDir: string): Promise<PageAssets> {
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
