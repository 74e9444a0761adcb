import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { hostErrorOf } from '../errors.js';
import { makeFolder } from '../files.js';
import { decodeUnits, encodeSeptets, encodeUnits } from './shared/codec.js';

/**
 * The files of one report: blocks of logs are written beside the page as they come, into a folder with a temporary name;
 * `publish` puts page and folder in place. So an older report at the same place stays whole until the new one is.
 */
export interface ReportFiles extends AsyncDisposable {
  /** Path of the block folder as seen from the page, for the folder form. */
  readonly folderName: string;
  /** Bytes written so far. */
  readonly blockBytes: number;
  writeBlock(log: number, block: number | 'index', packed: Uint8Array): Promise<void>;
  /** Writes the page; with `inline` the blocks go into it and the folder goes away. */
  publish(page: PageParts, inline: boolean): Promise<void>;
}

/** Text of the page before and after the place where blocks may stand. */
export interface PageParts {
  readonly before: string;
  readonly after: string;
}

const BOM = Buffer.from([0xff, 0xfe]);

/**
 * @param htmlPath where the page will be; blocks lie in `log/<name of the page>/` beside it
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION` from each member
 */
export async function createReportFiles(htmlPath: string): Promise<ReportFiles> {
  const folder = dirname(htmlPath);
  const name =
    basename(htmlPath)
      .replace(/\.html?$/i, '')
      .replace(/[^\w.-]/g, '_')
      .replace(/^\.+/, '') || 'report';
  const logFolder = join(folder, 'log');
  const finalFolder = join(logFolder, name);
  const temporary = join(folder, `.${name}.${randomBytes(6).toString('hex')}.logs.tmp`);
  const written: { readonly key: string; readonly length: number; readonly file: string }[] = [];
  let blockBytes = 0;
  let made = false;

  const atEdge = async <T>(path: string, act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (error) {
      throw hostErrorOf(error, path) ?? error;
    }
  };

  return {
    folderName: `log/${name}`,
    get blockBytes() {
      return blockBytes;
    },
    async writeBlock(log, block, packed) {
      const key = `${String(log)}-${String(block)}`;
      const file = join(temporary, `${key}.js`);
      await atEdge(file, async () => {
        if (!made) await makeFolder(temporary);
        made = true;
        await writeFile(file, encodeBlock(key, packed));
      });
      blockBytes += packed.length;
      written.push({ key, length: packed.length, file });
    },
    async publish(page, inline) {
      const draft = join(folder, `.${name}.${randomBytes(6).toString('hex')}.tmp`);
      await atEdge(htmlPath, async () => {
        await makeFolder(folder);
        try {
          const file = await open(draft, 'wx', 0o644);
          try {
            await file.write(page.before);
            if (inline) {
              for (const block of written)
                await file.write(inlineBlock(block.key, await readBlock(block.file, block.length)));
            }
            await file.write(page.after);
          } finally {
            await file.close();
          }
          await rm(finalFolder, { recursive: true, force: true });
          if (!inline && made) {
            await makeFolder(logFolder);
            await rename(temporary, finalFolder);
          }
          await rename(draft, htmlPath);
          if (inline) await rm(temporary, { recursive: true, force: true });
        } finally {
          await rm(draft, { force: true });
        }
      });
    },
    async [Symbol.asyncDispose]() {
      await rm(temporary, { recursive: true, force: true });
    },
  };
}

/** A block as a script that hands itself to the page: `mkCiBlock("0-12",3456,"…")`. */
function encodeBlock(key: string, packed: Uint8Array): Uint8Array {
  return Buffer.concat([
    BOM,
    Buffer.from(`mkCiBlock("${key}",${String(packed.length)},"`, 'utf16le'),
    encodeUnits(packed),
    Buffer.from('")\n', 'utf16le'),
  ]);
}

async function readBlock(file: string, length: number): Promise<Uint8Array> {
  const text = (await readFile(file)).toString('utf16le');
  const start = text.indexOf(',"') + 2;
  return decodeUnits(text.slice(start, text.lastIndexOf('"')), length);
}

/** A block inside the page; not a script to a browser, so no rule of the content policy is needed for it. */
function inlineBlock(key: string, packed: Uint8Array): string {
  return `<script type="application/x-mk-ci" id="block-${key}" data-bytes="${String(packed.length)}">${encodeSeptets(packed)}</script>\n`;
}
