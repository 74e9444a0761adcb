import { open, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { FRAME_BYTES, encodeFrame, isSafePath, type PodEnd } from './frames.js';

/** Sends the folder of a run as lines; see `frames.ts`. */
export interface Sender {
  /** What grew since the last call, of files that only grow. */
  sendNews(): Promise<void>;
  /** Everything that is not sent yet, and that this is all. */
  sendRest(end: PodEnd): Promise<void>;
}

/** Written to at their end only. Others may be changed anywhere for as long as the run goes on. */
const GROWING = ['events.jsonl', 'stdout.log', 'stderr.log'];

export function createSender(root: string, write: (line: string) => Promise<void>): Sender {
  const sent = new Map<string, number>();
  let number = 0;
  const send = async (frame: Parameters<typeof encodeFrame>[1]): Promise<void> => {
    number += 1;
    await write(`${encodeFrame(number, frame)}\n`);
  };

  const sendFile = async (path: string): Promise<void> => {
    const file = await open(join(root, path), 'r');
    try {
      for (;;) {
        const offset = sent.get(path) ?? 0;
        const { bytesRead, buffer } = await file.read(Buffer.alloc(FRAME_BYTES), 0, FRAME_BYTES, offset);
        // An empty file is one too.
        if (bytesRead === 0 && sent.has(path)) return;
        await send({ kind: 'data', path, offset, bytes: buffer.subarray(0, bytesRead) });
        sent.set(path, offset + bytesRead);
      }
    } finally {
      await file.close();
    }
  };

  return {
    sendNews: async () => {
      for (const path of await listFiles(root)) if (GROWING.includes(basename(path))) await sendFile(path);
    },
    sendRest: async (end) => {
      for (const path of await listFiles(root)) await sendFile(path);
      await send({ kind: 'end', end });
    },
  };
}

/** Files below a folder, with `/` between parts, sorted. Links are left out: they may lead anywhere. */
async function listFiles(root: string): Promise<string[]> {
  if (!(await isFolder(root))) return [];
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .filter(isSafePath)
    .sort();
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
