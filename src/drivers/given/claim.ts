import { z } from 'zod';

import { HOST_FOLDER, footprintSchema, pathSchema } from './footprint.js';

/** Who has a given host, kept on the host itself. */

export const CLAIM_FILE = `${HOST_FOLDER}/claim.json`;

/** What a host says is shown to people: nothing in it may act on a terminal. */
const text = z.string().regex(/^[^\p{Cc}]*$/u);

export const claimSchema = z.object({
  version: z.literal(1),
  /** Used in scripts as it is. */
  name: z.string().regex(/^[a-z0-9-]{1,63}$/),
  labels: z.record(text, text),
  specDigest: text,
  /** `preparing` until all is there; a claim that stays so was interrupted. */
  state: z.enum(['preparing', 'running', 'paused', 'stopped']),
  /** Of the host when it was last started: after another boot nothing of ours runs. */
  bootId: text,
  /** By which other hosts reach it. */
  address: text,
  kitKey: text,
  createdAt: text,
  /** As it was when the host was taken, whatever a later version says. */
  footprint: footprintSchema,
  paths: z.array(pathSchema),
});
export type Claim = z.infer<typeof claimSchema>;

/** @returns `undefined` for text that is none */
export function parseClaim(text: string): Claim | undefined {
  try {
    return claimSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
