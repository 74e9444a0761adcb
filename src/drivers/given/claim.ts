import { z } from 'zod';

import { HOST_FOLDER, footprintSchema } from './footprint.js';

/** Who has a given host, kept on the host itself. */

export const CLAIM_FILE = `${HOST_FOLDER}/claim.json`;

export const claimSchema = z.object({
  version: z.literal(1),
  name: z.string(),
  labels: z.record(z.string(), z.string()),
  specDigest: z.string(),
  /** `preparing` until all is there; a claim that stays so was interrupted. */
  state: z.enum(['preparing', 'running', 'paused', 'stopped']),
  /** Of the host when it was last started: after another boot nothing of ours runs. */
  bootId: z.string(),
  /** By which other hosts reach it. */
  address: z.string(),
  kitKey: z.string(),
  createdAt: z.string(),
  /** As it was when the host was taken, whatever a later version says. */
  footprint: footprintSchema,
  paths: z.array(z.string()),
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
