import { deflateRawSync, inflateRawSync } from 'node:zlib';

import { z } from 'zod';

/**
 * What a comment knows: one section for each job that reported, hidden in the comment itself. Any job can so read the
 * sections of the others, put its own in and write the comment for all of them; whoever writes last loses nothing.
 *
 * The text of a comment is a function of this state alone.
 */

/** `green` failures of a table row: the test did not fail in the end. */
export const VERDICT_WORDS = [
  'caused',
  'undecided',
  'infrastructure',
  'broken-on-base',
  'known-flake',
  'quarantined',
] as const;
export type RowVerdict = (typeof VERDICT_WORDS)[number];

const text = (most: number) => z.string().max(most);
const count = z.int().min(0).max(1e9);
const day = z.string().regex(/^\d{4}-\d\d-\d\d$/);

const rowSchema = z.strictObject({
  package: text(400),
  test: text(400),
  environments: z.array(text(100)).min(1).max(100),
  verdict: z.enum(VERDICT_WORDS),
  /** The line that says why. */
  reason: text(400).optional(),
  /** Facts that the verdict rests on. */
  evidence: z.array(text(200)).max(8).optional(),
  /** Failed and all attempts without this change, over all `environments`. */
  elsewhere: z.strictObject({ failed: count, attempts: count }).optional(),
  /** Attempts on the head of the pull request. */
  here: z.strictObject({ failed: count, passed: count }),
  lastSeen: z.strictObject({ day, commit: text(64).optional() }).optional(),
  issue: z.int().min(1).max(1e9).optional(),
  reportUrl: text(800).optional(),
  chartUrl: text(800).optional(),
  excerpt: text(2_000).optional(),
});

const environmentSchema = z.strictObject({
  name: text(100),
  passed: count,
  failed: count,
  flaky: count,
  skipped: count,
  url: text(800).optional(),
});

const sectionSchema = z.strictObject({
  /** Names the job, the same in each of its runs. */
  key: text(100),
  runId: text(200),
  sha: text(64),
  /** ISO 8601. */
  startedAt: text(40),
  runUrl: text(800).optional(),
  environments: z.array(environmentSchema).max(200),
  /** Environments that were to run and gave no results. */
  missing: z.array(text(100)).max(200),
  /** Failures by verdict, all of them. */
  totals: z.partialRecord(z.enum(VERDICT_WORDS), count),
  rows: z.array(rowSchema).max(400),
  /** What went wrong outside of tests. */
  problems: z.array(text(300)).max(20),
  /** Tests that passed only after another try. */
  flaky: z.array(text(400)).max(50),
  flakyCount: count,
});

const stateSchema = z.strictObject({ v: z.literal(1), sections: z.array(sectionSchema).max(100) });

export type CommentRow = z.infer<typeof rowSchema>;
export type CommentEnvironment = z.infer<typeof environmentSchema>;
export type CommentSection = z.infer<typeof sectionSchema>;
export type CommentState = z.infer<typeof stateSchema>;

/** At the end only: whatever stands before it was written by tests. */
const DATA = /<!-- mk-ci:data ([A-Za-z0-9+/=]+) -->\s*$/;
/** A state is a few kilobytes; one that inflates to more is not ours. */
const LARGEST_STATE_BYTES = 4 * 1024 * 1024;

/** First line of the comment; `key` tells several comments on one pull request apart. */
export function commentMarker(key: string): string {
  return `<!-- mk-ci:report v=1 key=${encodeURIComponent(key).replaceAll('-', '%2D')} -->`;
}

/** The marker counts at the very start only: quoted or pasted elsewhere it means nothing. */
export function hasMarker(body: string, key: string): boolean {
  return body.startsWith(commentMarker(key));
}

export function encodeState(state: CommentState): string {
  return `<!-- mk-ci:data ${deflateRawSync(Buffer.from(JSON.stringify(state)), { level: 9 }).toString('base64')} -->`;
}

/** @returns `undefined` for a body without a state, or with one that somebody edited */
export function decodeState(body: string): CommentState | undefined {
  const data = DATA.exec(body)?.[1];
  if (data === undefined) return undefined;
  try {
    const json = inflateRawSync(Buffer.from(data, 'base64'), { maxOutputLength: LARGEST_STATE_BYTES }).toString('utf8');
    const parsed = stateSchema.safeParse(JSON.parse(json));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined; // no deflate stream, or no JSON: edited by hand
  }
}

/**
 * Puts a section in. Sections of other commits are of the past and go; of one job the newer run stays.
 *
 * Idempotent, and the order of sections of one commit makes no difference.
 */
export function mergeSection(state: CommentState | undefined, section: CommentSection): CommentState {
  const others = (state?.sections ?? []).filter(({ sha }) => sha === section.sha);
  const known = others.find(({ key }) => key === section.key);
  const mine = known !== undefined && isNewer(known, section) ? known : section;
  const sections = [...others.filter(({ key }) => key !== section.key), mine];
  return { v: 1, sections: sections.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)) };
}

/** Whether the state holds what a section says, or something newer in its place. */
export function holdsSection(state: CommentState | undefined, section: CommentSection): boolean {
  const found = state?.sections.find(({ key, sha }) => key === section.key && sha === section.sha);
  return found !== undefined && (found.runId === section.runId || isNewer(found, section));
}

function isNewer(a: CommentSection, b: CommentSection): boolean {
  return a.startedAt > b.startedAt || (a.startedAt === b.startedAt && a.runId > b.runId);
}
