import { createHash } from 'node:crypto';

import { z } from 'zod';

import type { TestState } from '../../flake/index.js';
import type { TestId } from '../../results/index.js';

/** Found again by marker and label, never by title: people may change titles. */
export const ISSUE_LABEL = 'mk-ci/flaky';
export const BROKEN_LABEL = 'mk-ci/broken';
export const FLIP_FLOP_LABEL = 'mk-ci/flip-flop';

/** One environment in which a test was looked at. */
export interface EnvironmentHealth {
  readonly environment: string;
  readonly state: TestState;
  /** Failed and all attempts of the window. */
  readonly failed: number;
  readonly attempts: number;
  /** Bounds of the 95 % interval, 0…1. */
  readonly low: number;
  readonly high: number;
  readonly mixedCommits: number;
  /** Share of failures by day with an attempt, oldest first. */
  readonly days: readonly { readonly day: string; readonly failed: number; readonly attempts: number }[];
  /** Times of failures in ms, newest first, with commit and page. */
  readonly failures: readonly {
    readonly atMs: number;
    readonly commit?: string;
    readonly url?: string;
    readonly message?: string;
  }[];
}

/** One test with everything an issue says of it. */
export interface TestHealth {
  readonly id: TestId;
  readonly environments: readonly EnvironmentHealth[];
  /** Most frequent signature of its failures that names a cause. */
  readonly signature?: { readonly key: string; readonly text: string };
}

/** What the bot remembers in the issue itself. */
const memorySchema = z.strictObject({
  v: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{16}$/),
  /** As the bot left it: closed by the bot, or open. */
  left: z.enum(['open', 'closed']),
  /** Highest rate when it was opened, 0…1: healthy means well below it. */
  rate: z.number().min(0).max(1),
  state: z.enum(['healthy', 'suspected', 'flaky', 'broken']),
  /** ms */
  changedAt: z.number().int().min(0),
  commentedAt: z.number().int().min(0),
  /** How often it was opened again. */
  reopened: z.number().int().min(0).max(10_000),
  /** Number of the issue before this one. */
  follows: z.number().int().min(1).optional(),
});
export type IssueMemory = z.infer<typeof memorySchema>;

const MEMORY = /<!-- mk-ci:flake (\{[^\n]*?\}) -->/;
export const BLOCK_START = '<!-- mk-ci:begin -->';
export const BLOCK_END = '<!-- mk-ci:end -->';

export function issueId(repository: string, subject: TestId | { readonly signature: string }): string {
  const parts = 'signature' in subject ? ['signature', subject.signature] : [subject.package, subject.name];
  return createHash('sha256')
    .update([repository, ...parts].join('\0'))
    .digest('hex')
    .slice(0, 16);
}

export function readMemory(body: string): IssueMemory | undefined {
  const text = MEMORY.exec(body)?.[1];
  if (text === undefined) return undefined;
  try {
    return memorySchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined; // edited by hand
  }
}

/** The bot's block with its memory; what people wrote around it stays. */
export function writeBlock(body: string, block: string, memory: IssueMemory): string {
  const mine = `${BLOCK_START}\n<!-- mk-ci:flake ${JSON.stringify(memory)} -->\n${block}\n${BLOCK_END}`;
  const from = body.indexOf(BLOCK_START);
  const to = body.indexOf(BLOCK_END, from + 1);
  if (from === -1 || to === -1) return body.trim() === '' ? mine : `${mine}\n\n${body.trim()}`;
  return body.slice(0, from) + mine + body.slice(to + BLOCK_END.length);
}
