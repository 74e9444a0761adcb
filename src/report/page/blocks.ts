/** Packed blocks of logs: from scripts beside the page, or from the page itself; unpacked when asked for. */

import { decodeSeptets, decodeUnits } from '../shared/codec.js';
import type { PageData } from '../shared/page-data.js';

declare global {
  interface Window {
    mkCiBlock?: (key: string, length: number, text: string) => void;
    trustedTypes?: {
      createPolicy(
        name: string,
        rules: { createScriptURL: (url: string) => string },
      ): { createScriptURL(url: string): string };
    };
  }
}

export type LoadBlock = (key: string) => Promise<Uint8Array<ArrayBuffer>>;

export function createBlockLoader(storage: PageData['storage']): LoadBlock {
  const packed = storage.kind === 'folder' ? fromFolder(storage.path) : fromPage;
  return async (key) => inflate(await packed(key));
}

async function fromPage(key: string): Promise<Uint8Array<ArrayBuffer>> {
  const find = (): HTMLElement | null => document.getElementById(`block-${key}`);
  // Blocks stand at the end of the page: while it is still being read they may not be there yet.
  if (find()?.nextSibling == null && document.readyState === 'loading') {
    await new Promise((resolve) => {
      document.addEventListener('DOMContentLoaded', resolve, { once: true });
    });
  }
  const block = find();
  if (block === null) throw new Error(`The page lacks part ${key} of its logs.`);
  return decodeSeptets(block.textContent, Number(block.dataset['bytes']));
}

function fromFolder(path: string): LoadBlock {
  const waiting = new Map<string, (block: Uint8Array<ArrayBuffer>) => void>();
  const policy = window.trustedTypes?.createPolicy('mk-ci-blocks', {
    createScriptURL: (url) => {
      if (!/^log\/[\w.-]+\/\d+-(?:\d+|index)\.js$/.test(url)) throw new TypeError(`not a log: ${url}`);
      return url;
    },
  });
  window.mkCiBlock = (key, length, text) => {
    waiting.get(key)?.(decodeUnits(text, length));
    waiting.delete(key);
  };
  const loading = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();
  const load: LoadBlock = (key) =>
    new Promise((resolve, reject) => {
      const script = document.createElement('script');
      waiting.set(key, resolve);
      script.addEventListener('load', () => {
        script.remove();
      });
      script.addEventListener('error', () => {
        script.remove();
        waiting.delete(key);
        reject(new Error(`${path}/${key}.js can not be read. Keep the folder beside the page.`));
      });
      const url = `${path}/${key}.js`;
      script.src = policy?.createScriptURL(url) ?? url;
      document.head.append(script);
    });
  return (key) => {
    const running = loading.get(key);
    if (running !== undefined) return running;
    const started = load(key).finally(() => loading.delete(key));
    loading.set(key, started);
    return started;
  };
}

async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
