import { z } from 'zod';

/** Parameters of the API, all in the query; unknown ones are refused, so that a misspelt filter is not a missing one. */

/** No database takes NUL in a text. */
const text = (min: number, max: number) =>
  z
    .string()
    .min(min)
    .max(max)
    .refine((value) => !value.includes('\0'), 'holds a NUL character');
const name = text(1, 2_000);

export const viewQuery = z.strictObject({
  repository: name.optional().describe('exact name, owner/name'),
  runs: z.enum(['all', 'base', 'pull-requests']).optional().describe('runs to count; all when left out'),
  days: z.coerce.number().int().min(1).max(3_650).optional().describe('length of the window, 90 when left out'),
  until: z
    .string()
    .regex(/^\d{4}-\d\d-\d\d$/)
    .refine((value) => !Number.isNaN(Date.parse(value)))
    .optional()
    .describe('last day of the window; that of the newest run when left out'),
});

export const environmentQuery = viewQuery.extend({ environment: name });

export const testQuery = viewQuery.extend({
  environment: name,
  // '' is a package: that of tests without one.
  package: text(0, 2_000).optional().describe('exact; any package when left out'),
  test: name,
});

export const commitQuery = z.strictObject({
  repository: name.optional(),
  commit: text(4, 200).describe('whole or its beginning'),
  // Pages pass their view on; it means nothing here.
  runs: viewQuery.shape.runs,
  days: viewQuery.shape.days,
});

const paging = {
  limit: z.coerce.number().int().min(1).max(200).default(50),
  offset: z.coerce.number().int().min(0).max(1_000_000).default(0),
};

export const testsQuery = z.strictObject({
  repository: name.optional(),
  environment: name.optional(),
  search: text(0, 200).default('').describe('part of the name, in any case'),
  ...paging,
});

export const runsQuery = viewQuery
  .omit({ days: true, until: true })
  .extend({ environment: name.optional(), ...paging });
export const commitsQuery = viewQuery.extend({ environment: name.optional(), ...paging });

export const badgeQuery = z.strictObject({
  repository: name.optional(),
  environment: name,
  package: text(0, 2_000).optional(),
  test: name.optional().describe('badge of this test; of the environment when left out'),
  days: viewQuery.shape.days,
});

export const ingestQuery = z.strictObject({
  format: z.string().max(40).optional().describe('form of the body; recognised when left out'),
  repository: name.optional(),
  commit: name.optional(),
  tree: name.optional(),
  branch: name.optional(),
  pullRequest: z.coerce.number().int().positive().optional(),
  environment: name.optional().describe('environment of foreign files'),
  at: z.iso
    .datetime({ offset: true })
    .optional()
    .describe('when the run began; now when neither this nor the body says'),
  url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('report or page of the CI job'),
  ciRun: name.optional().describe('identity of the CI run, so that equal results of two runs are two'),
});

export type IngestQuery = z.infer<typeof ingestQuery>;

export const ingestAnswer = z.object({
  runs: z.int().describe('runs that were new'),
  results: z.int(),
  known: z.int().describe('runs that were there already'),
  replaced: z.int().describe('incomplete runs that this one completed'),
  excluded: z.array(z.object({ uid: z.string(), reason: z.string() })).describe('runs stored but left out of rates'),
});

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string().describe('a code of the error catalogue'),
    detail: z.string().optional().describe('what to do about it'),
  })
  .describe('RFC 9457');
