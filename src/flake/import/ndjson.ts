import { z } from 'zod';

import { MkCiError, messageOf } from '../../errors.js';
import type { RunRecord } from '../store/record.js';

const text = z.string();
const schema = z.object({
  uid: text.min(1),
  repository: text,
  environment: text,
  suite: text,
  commit: z
    .object({ sha: text.min(1), treeSha: text.optional(), position: z.int().optional() })
    .transform(withoutUndefined)
    .optional(),
  branch: text.optional(),
  pullRequest: z.int().positive().optional(),
  url: text.optional(),
  startedAtMs: z.number(),
  durationMs: z.number().nonnegative().optional(),
  complete: z.boolean(),
  excluded: text.optional(),
  origin: text,
  results: z.array(
    z
      .object({
        package: text,
        name: text.min(1),
        attempt: z.int().positive(),
        status: z.enum(['passed', 'failed', 'skipped', 'error', 'timedout', 'notrun']),
        durationMs: z.number().nonnegative().optional(),
        failure: z
          .object({ message: text, text: text.optional(), kind: text.optional() })
          .transform(withoutUndefined)
          .optional(),
      })
      .transform(withoutUndefined),
  ),
});

/**
 * Reads what `flake export --format ndjson` wrote: one run a line; empty lines are skipped.
 *
 * @throws {MkCiError} `DB_BAD_INPUT` at the first line that is no run, with its number; runs before it were given out
 */
export async function* parseNdjson(lines: AsyncIterable<string> | Iterable<string>): AsyncGenerator<RunRecord> {
  let number = 0;
  for await (const line of lines) {
    number += 1;
    if (line.trim() === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw new MkCiError('DB_BAD_INPUT', { message: `line ${number}: ${messageOf(error)}`, cause: error });
    }
    const result = schema.safeParse(value);
    if (!result.success) {
      const issue = result.error.issues[0];
      throw new MkCiError('DB_BAD_INPUT', {
        message: `line ${number}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not a run'}`,
      });
    }
    yield withoutUndefined(result.data);
  }
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Members that are there with `undefined` say the same as absent ones; the types of the store know absent ones only. */
function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Defined<T>;
}
