import { createReadStream } from 'node:fs';

import { addReadEvent, checkConservation, createCellState, summarizeCell, type CellSummary } from '../../accumulate.js';
import type { ReadEvent } from '../../events.js';
import { readInput } from '../../input/read-input.js';
import type { Format } from '../../reader.js';

export interface FileRead extends CellSummary {
  readonly format: Format;
  readonly events: readonly ReadEvent[];
  readonly conserves: boolean;
}

/** Reads a file the way the command line does and keeps what came out. @throws {MkCiError} as `readInput` */
export async function readFileForTest(path: string, format?: Format): Promise<FileRead> {
  const state = createCellState();
  const events: ReadEvent[] = [];
  const read = await readInput(createReadStream(path), {
    format,
    emit: (event) => {
      addReadEvent(state, event);
      events.push(event);
    },
  });
  const summary = summarizeCell(state);
  return { ...summary, format: read.format, events, conserves: checkConservation(state, summary.tests).holds };
}
