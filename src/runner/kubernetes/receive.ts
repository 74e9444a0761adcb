import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { outputError } from '../../results/event-log.js';
import { decodeLine, type PodEnd } from './frames.js';

/** Takes the log of one pod and makes the folder of its run anew, as far as it was sent. */
export interface Receiver {
  /** A piece of the log, cut anywhere. @throws {MkCiError} `RUN_OUTPUT` */
  take(piece: Buffer): Promise<void>;
  /** The log is read from its beginning again; what is there already is passed over. */
  begin(): void;
  /** `undefined` until everything is there. */
  end(): PodEnd | undefined;
}

/** Longer lines are of suites that print binary data; ours are far shorter. */
const MAX_LINE = 1024 * 1024;

/** @param onText lines for people */
export function createReceiver(folder: string, onText: (line: string) => void = () => undefined): Receiver {
  let rest = '';
  let next = 1;
  let end: PodEnd | undefined;
  const takeLine = async (line: string): Promise<void> => {
    const found = decodeLine(line);
    if (found === undefined) {
      onText(line);
      return;
    }
    // One that is damaged or missing stops the count: the end is then never reached, and the pod counts as lost.
    if (found === 'broken' || found.number !== next) return;
    next += 1;
    if (found.frame.kind === 'end') end = found.frame.end;
    else await writeAt(join(folder, found.frame.path), found.frame.offset, found.frame.bytes);
  };
  return {
    take: async (piece) => {
      // Frames are ASCII; a character of other lines may break at the edge of a piece, which harms nothing.
      const lines = (rest + piece.toString('utf8')).split('\n');
      rest = (lines.pop() ?? '').slice(0, MAX_LINE);
      for (const line of lines) await takeLine(line);
    },
    begin: () => {
      rest = '';
    },
    end: () => end,
  };
}

async function writeAt(path: string, offset: number, bytes: Buffer): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, offset === 0 ? 'w' : 'r+');
    try {
      await file.write(bytes, 0, bytes.length, offset);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw outputError(path, error);
  }
}
