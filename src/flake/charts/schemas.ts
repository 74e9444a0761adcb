import { z } from 'zod';

import { STATUSES } from '../../results/model.js';

/**
 * What the pages show, as data: the JSON API answers with it, the static site is made of it, and the OpenAPI document is
 * generated from it. Times are ISO 8601 in UTC, days `2026-01-31`, shares 0…1 with six decimals, durations whole
 * milliseconds.
 */

const count = z.int().nonnegative();
const share = z.number().min(0).max(1);
const day = z.string().regex(/^\d{4}-\d\d-\d\d$/);
const time = z.iso.datetime();

export const windowSchema = z.object({
  from: day,
  to: day.describe('last day, inclusive; that of the newest run unless asked otherwise'),
  days: count,
});

export const rateSchema = z
  .object({
    failed: count.describe('failed and timed out attempts'),
    attempts: count.describe('attempts that passed or failed'),
    rate: share.optional().describe('failed ÷ attempts, six decimals; absent without attempts'),
    low: share,
    high: share.describe('ends of the 95 % Jeffreys interval on the effective number of attempts'),
  })
  .describe('k of n with its interval');

export const pointSchema = rateSchema.extend({
  at: day.describe('the day, or the Monday of the week'),
  durationMs: z.number().nonnegative().optional().describe('mean of the attempts'),
});

export const seriesNameSchema = z.object({
  repository: z.string(),
  environment: z.string(),
  package: z.string(),
  test: z.string(),
});

export const rankedTestSchema = seriesNameSchema.extend({
  rank: count.min(1),
  window: rateSchema.describe('over the whole window'),
  recent: rateSchema.describe('over the 15 newest days on which the test ran'),
  previous: rateSchema.optional().describe('over the 15 days before these; absent when there are none'),
  growth: z.number().optional().describe('recent − previous rate, −1…1'),
  mixedCommits: count.describe('commits on which it both passed and failed'),
  failingCommits: count,
  durationMs: z.number().nonnegative().optional(),
  lastDay: day,
});

export const environmentDaySchema = z.object({
  at: day,
  runs: count,
  tests: count.describe('executed tests, over all runs'),
  failedTests: count,
  durationMs: z.number().nonnegative().optional().describe('mean of the runs; absent when no run says'),
  excludedRuns: count.describe('runs left out as failures of the infrastructure; in none of the other numbers'),
});

const failuresSchema = z.object({
  failedTests: count,
  runs: count,
  perRun: z.number().nonnegative(),
  days: count,
});

export const rankedEnvironmentSchema = z.object({
  rank: count.min(1),
  environment: z.string(),
  recent: failuresSchema.describe('failed tests over the 15 newest days with a run'),
  previous: failuresSchema.optional(),
  growth: z.number().optional().describe('failed tests a run, recent − previous'),
  runs: count,
  tests: count,
  failedTests: count,
  excludedRuns: count,
  durationMs: z.number().nonnegative().optional(),
  lastDay: day,
  days: z.array(environmentDaySchema),
});

export const commitSummarySchema = z.object({
  repository: z.string(),
  commit: z.string(),
  branch: z.string().optional(),
  pullRequest: z.int().optional(),
  firstAt: time,
  lastAt: time,
  runs: count,
  environments: count,
  tests: count,
  failedTests: count,
});

const leftOutSchema = z
  .record(z.string(), count)
  .describe('how many entries of a list are not shown, by name of the list');

export const overviewSchema = z.object({
  kind: z.literal('overview'),
  repository: z.string().optional(),
  repositories: z.array(z.string()),
  window: windowSchema,
  totals: z.object({ runs: count, tests: count, failedTests: count, excludedRuns: count, failingTests: count }),
  environments: z.array(rankedEnvironmentSchema),
  tests: z.array(rankedTestSchema),
  commits: z.array(commitSummarySchema),
  leftOut: leftOutSchema,
});

export const environmentPageSchema = z.object({
  kind: z.literal('environment'),
  environment: z.string(),
  repository: z.string().optional(),
  window: windowSchema,
  days: z.array(environmentDaySchema),
  tests: z.array(
    rankedTestSchema.extend({ days: z.array(pointSchema).optional(), weeks: z.array(pointSchema).optional() }),
  ),
  leftOut: leftOutSchema,
});

export const testRunSchema = z.object({
  run: z.string().describe('uid of the run'),
  attempt: count,
  at: time,
  status: z.enum(STATUSES),
  durationMs: z.number().nonnegative().optional(),
  commit: z.string().optional(),
  branch: z.string().optional(),
  pullRequest: z.int().optional(),
  url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('report or CI job of the run'),
  excluded: z.string().optional().describe('why the run is in no rate'),
  signature: z.string().optional().describe('key of the signature of its failure'),
});

export const signatureSchema = z.object({
  key: z.string(),
  text: z.string(),
  weak: z.boolean().describe('names no cause'),
  count,
  firstAt: time,
  lastAt: time,
});

export const changepointSchema = z.object({
  at: time.describe('first run on the first commit after the change'),
  commit: z.string(),
  certainty: z.enum(['named', 'suspect']),
  fromCommit: z.string(),
  toCommit: z.string(),
  rangeCommits: count.describe('commits between which the change lies with 99 % probability'),
  before: z.object({ rate: share, commits: count }),
  after: z.object({ rate: share, commits: count }),
});

export const testPageSchema = seriesNameSchema.extend({
  kind: z.literal('test'),
  window: windowSchema,
  rate: rateSchema,
  runs: count,
  failedRuns: count,
  mixedRuns: count,
  failingCommits: count,
  mixedCommits: count,
  dispersion: z.number().min(1),
  durationMs: z.number().nonnegative().optional(),
  days: z.array(pointSchema),
  weeks: z.array(pointSchema),
  changepoints: z.array(changepointSchema),
  signatures: z.array(signatureSchema),
  attempts: z.array(testRunSchema).describe('newest first'),
  environments: z.array(z.object({ environment: z.string(), rate: rateSchema })),
  leftOut: leftOutSchema,
});

export const runSchema = z.object({
  run: z.string(),
  repository: z.string(),
  environment: z.string(),
  suite: z.string(),
  commit: z.string().optional(),
  branch: z.string().optional(),
  pullRequest: z.int().optional(),
  url: z.url({ protocol: /^https?$/ }).optional(),
  at: time,
  durationMs: z.number().nonnegative().optional(),
  tests: count,
  failedTests: count,
  excluded: z.string().optional(),
  complete: z.boolean(),
});

export const commitPageSchema = z.object({
  kind: z.literal('commit'),
  repository: z.string(),
  commit: z.string(),
  runs: z.array(runSchema),
  failures: z.array(
    seriesNameSchema.extend({
      here: rateSchema.describe('attempts on this commit'),
      usual: rateSchema.describe('attempts on all commits of the 30 days before it'),
    }),
  ),
  leftOut: leftOutSchema,
});

export type Window = z.infer<typeof windowSchema>;
export type Rate = z.infer<typeof rateSchema>;
export type Point = z.infer<typeof pointSchema>;
export type RankedTest = z.infer<typeof rankedTestSchema>;
export type EnvironmentDay = z.infer<typeof environmentDaySchema>;
export type RankedEnvironment = z.infer<typeof rankedEnvironmentSchema>;
export type CommitSummary = z.infer<typeof commitSummarySchema>;
export type Overview = z.infer<typeof overviewSchema>;
export type EnvironmentPage = z.infer<typeof environmentPageSchema>;
export type TestPage = z.infer<typeof testPageSchema>;
export type TestRun = z.infer<typeof testRunSchema>;
export type CommitPage = z.infer<typeof commitPageSchema>;
export type ChartRun = z.infer<typeof runSchema>;
export type PageModel = Overview | EnvironmentPage | TestPage | CommitPage;
