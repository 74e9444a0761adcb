import { FORMATS, type CreateReader, type Format } from '../reader.js';
import { sniffCtrf } from './ctrf/sniff.js';
import { sniffNunit, sniffTrx, sniffXunit } from './dotnet/sniff.js';
import { sniffGoJson } from './go-json/sniff.js';
import { sniffGoText } from './go-text/sniff.js';
import { sniffGopoghSummary } from './gopogh-summary/sniff.js';
import { sniffJestJson, sniffMochaJson, sniffPlaywrightJson, sniffVitestJson } from './javascript/sniff.js';
import { sniffJunit } from './junit/sniff.js';
import { HEAD_LENGTH } from './head.js';
import { sniffTap } from './tap/sniff.js';

/** How a format is recognised and read. Sniffers are loaded at once and stay small; a reader is loaded when it is used. */
export interface ReaderEntry {
  /**
   * How sure it is that text which begins like this has the format: 0 not at all, 1 beyond doubt.
   *
   * @param head the first 64 Ki characters at most, or the whole input when it is shorter
   */
  readonly sniff: (head: string) => number;
  readonly load: () => Promise<CreateReader>;
}

/** Every format that can be read, in the order in which ties are decided. Formats of reader.ts not in here yet are unknown. */
export const READERS: Partial<Record<Format, ReaderEntry>> = {
  'go-json': { sniff: sniffGoJson, load: async () => (await import('./go-json/index.js')).createGoJsonReader },
  'go-text': { sniff: sniffGoText, load: async () => (await import('./go-text/index.js')).createGoTextReader },
  junit: { sniff: sniffJunit, load: async () => (await import('./junit/index.js')).createJunitReader },
  ctrf: { sniff: sniffCtrf, load: async () => (await import('./ctrf/index.js')).createCtrfReader },
  tap: { sniff: sniffTap, load: async () => (await import('./tap/index.js')).createTapReader },
  'vitest-json': {
    sniff: sniffVitestJson,
    load: async () => (await import('./javascript/index.js')).createVitestJsonReader,
  },
  'jest-json': { sniff: sniffJestJson, load: async () => (await import('./javascript/index.js')).createJestJsonReader },
  'mocha-json': {
    sniff: sniffMochaJson,
    load: async () => (await import('./javascript/index.js')).createMochaJsonReader,
  },
  'playwright-json': {
    sniff: sniffPlaywrightJson,
    load: async () => (await import('./javascript/index.js')).createPlaywrightJsonReader,
  },
  'gopogh-summary': {
    sniff: sniffGopoghSummary,
    load: async () => (await import('./gopogh-summary/index.js')).createGopoghSummaryReader,
  },
  xunit: { sniff: sniffXunit, load: async () => (await import('./dotnet/index.js')).createXunitReader },
  nunit: { sniff: sniffNunit, load: async () => (await import('./dotnet/index.js')).createNunitReader },
  trx: { sniff: sniffTrx, load: async () => (await import('./dotnet/index.js')).createTrxReader },
};

export { HEAD_LENGTH };

export interface Detection {
  readonly format: Format;
  /** 0…1 */
  readonly certainty: number;
}

/** The format that is most sure about the beginning of an input, or `undefined` when none is. */
export function detectFormat(head: string): Detection | undefined {
  const text = head.length > HEAD_LENGTH ? head.slice(0, HEAD_LENGTH) : head;
  let best: Detection | undefined;
  for (const format of FORMATS) {
    const certainty = READERS[format]?.sniff(text) ?? 0;
    if (certainty > (best?.certainty ?? 0)) best = { format, certainty };
  }
  return best;
}

/** The reader of a format, or `undefined` for one that is not read through events of tests (`mk-ci`). */
export async function loadReader(format: Format): Promise<CreateReader | undefined> {
  return READERS[format]?.load();
}

/** Detection and loading in one value, for those who take it as an argument. */
export const ALL_FORMATS = { detect: detectFormat, load: loadReader } as const;
