import { z } from 'zod';

import type { ChartStore } from '../flake/charts/index.js';

/**
 * Answers in parts, each kept as long as what it is read from has not changed. A test's page says a line of every environment
 * and a thousand attempts of its own: a run in another environment costs the lines, not the attempts.
 */
export interface ReadPart {
  /** Name of the environment that all of the part is read from; absent: anything that is written may change it. */
  readonly environment?: (query: unknown) => string;
  /** @param query as it came; checked by the route first */
  readonly read: (store: ChartStore, query: unknown) => Promise<string>;
}

interface Part {
  readonly leftOut: Readonly<Record<string, number>>;
}

const leftOutSchema = z.record(z.string(), z.number());

/** A part of a page for {@link joinParts}: its fields on one line, what was left out of its lists on the next. */
export function partText({ leftOut, ...fields }: Part): string {
  return `${JSON.stringify(fields)}\n${JSON.stringify(leftOut)}`;
}

/** JSON of one object with the fields of all parts, without parsing them. @param texts one, which is the answer, or more of {@link partText} */
export function joinParts(texts: readonly string[]): string {
  const [first = ''] = texts;
  if (texts.length === 1) return first;
  const parts = texts.map((text) => {
    const end = text.indexOf('\n');
    return { fields: text.slice(1, end - 1), leftOut: leftOutSchema.parse(JSON.parse(text.slice(end))) };
  });
  const leftOut = Object.assign({}, ...parts.map((part) => part.leftOut)) as Record<string, number>;
  return `{${parts.map(({ fields }) => fields).join(',')},"leftOut":${JSON.stringify(leftOut)}}\n`;
}
