import { z } from 'zod';

import type { JournalEntry } from './journal.js';

/** Journal entries and snapshot manifests are read by other versions of mk-ci than wrote them: checked, not trusted. */
const identity = z.object({ pid: z.int().positive(), startedAt: z.string() });

const thing = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('cluster-folder'), path: z.string() }),
  z.object({ kind: z.literal('process'), command: z.string(), identity: z.exactOptional(identity) }),
  z.object({ kind: z.literal('port-lease'), port: z.int() }),
  z.object({ kind: z.literal('resource'), driver: z.string(), type: z.string(), name: z.string() }),
]);

const entry = z.object({
  version: z.literal(1),
  id: z.string(),
  createdAt: z.string(),
  place: z.string(),
  thing,
  ownership: z.object({
    role: z.exactOptional(z.string()),
    cluster: z.exactOptional(z.string()),
    folder: z.exactOptional(z.string()),
    runId: z.exactOptional(z.string()),
    owner: z.exactOptional(identity),
    expiresAt: z.exactOptional(z.string()),
  }),
}) satisfies z.ZodType<JournalEntry>;

/** @returns `undefined` for what is no entry of a version we know */
export function parseJournalEntry(text: string): JournalEntry | undefined {
  try {
    const result = entry.safeParse(JSON.parse(text));
    return result.success ? result.data : undefined;
  } catch {
    return undefined;
  }
}
