import type { ReadEvent, TestOutput } from '../../events.js';
import type { Failure, Repair, TestId } from '../../model.js';
import type { Emit, ReaderOptions } from '../../reader.js';

/** What a package reader needs of the whole. */
export interface GoContext {
  readonly emit: Emit;
  readonly options: ReaderOptions;
  repair(repair: Repair): void;
  /** Reason of a build that failed, by import path; `undefined` when its output was not seen. */
  buildFailure(importPath: string): Failure | undefined;
}

/** Names hold no NUL (model.ts, `testKey`). */
export function cleanName(name: string): string {
  return name.includes('\0') ? name.replaceAll('\0', '\uFFFD') : name;
}

export function outputEvent(
  to: { readonly test?: TestId | undefined; readonly package: string },
  text: string,
  at: string | undefined,
  partial: boolean,
): ReadEvent {
  // Most events of a stream are made here: an object that grows costs a third of one that is spread together.
  const event: { -readonly [Key in keyof TestOutput]: TestOutput[Key] } = { type: 'output', text };
  if (to.test !== undefined) event.test = to.test;
  if (to.package !== '') event.package = to.package;
  if (partial) event.partial = true;
  if (at !== undefined) event.at = at;
  return event;
}
