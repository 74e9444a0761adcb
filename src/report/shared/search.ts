/** Searching logs: what is typed becomes a matcher that works on the text of a whole chunk. */

import { mayContain } from './bloom.js';

export interface Query {
  readonly text: string;
  /** False when the chunk with this filter certainly has no match. */
  mayBeIn(bloom: Uint8Array | undefined): boolean;
  /** Numbers of matching lines in `text`, from 0, ascending. */
  linesIn(text: string): number[];
  /** Where a line matches: pairs of start and end. */
  rangesIn(line: string): (readonly [number, number])[];
}

export class QueryError extends Error {}

/**
 * Plain text, upper and lower case alike; `/…/` is a regular expression.
 *
 * @returns `undefined` for nothing to look for
 * @throws {QueryError} for a broken regular expression
 */
export function parseQuery(typed: string): Query | undefined {
  if (typed.trim() === '') return undefined;
  if (typed.length > 2 && typed.startsWith('/') && typed.endsWith('/')) return patternQuery(typed);
  return textQuery(typed);
}

function textQuery(typed: string): Query {
  const needle = typed.toLowerCase();
  const bytes = new TextEncoder().encode(needle);
  return {
    text: typed,
    mayBeIn: (bloom) => bloom === undefined || mayContain(bloom, bytes),
    linesIn(text) {
      const lower = text.toLowerCase();
      const lines: number[] = [];
      let line = 0;
      let lineEnd = lower.indexOf('\n');
      let at = lower.indexOf(needle);
      while (at !== -1) {
        while (lineEnd !== -1 && lineEnd < at) {
          line += 1;
          lineEnd = lower.indexOf('\n', lineEnd + 1);
        }
        lines.push(line);
        if (lineEnd === -1) break;
        at = lower.indexOf(needle, lineEnd + 1);
      }
      return lines;
    },
    rangesIn(text) {
      const lower = text.toLowerCase();
      // Letters whose lower case is longer shift what follows; such a line is marked without places.
      if (lower.length !== text.length) return [];
      const ranges: (readonly [number, number])[] = [];
      for (
        let at = lower.indexOf(needle);
        at !== -1 && ranges.length < 200;
        at = lower.indexOf(needle, at + needle.length)
      ) {
        ranges.push([at, at + needle.length]);
      }
      return ranges;
    },
  };
}

function patternQuery(typed: string): Query {
  let pattern: RegExp;
  try {
    pattern = new RegExp(typed.slice(1, -1), 'giu');
  } catch (error) {
    throw new QueryError(error instanceof Error ? error.message : String(error));
  }
  return {
    text: typed,
    mayBeIn: () => true,
    linesIn: (text) =>
      text.split('\n').flatMap((line, index) => {
        pattern.lastIndex = 0;
        return pattern.test(line) ? [index] : [];
      }),
    rangesIn: (text) =>
      [...text.matchAll(pattern)]
        .filter(([match]) => match !== '')
        .slice(0, 200)
        .map((match) => [match.index, match.index + match[0].length] as const),
  };
}
