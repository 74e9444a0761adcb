import { z } from 'zod';

import {
  commitPageSchema,
  commitSummary,
  commitSummarySchema,
  environmentPageSchema,
  overviewSchema,
  readChartCommits,
  readCommitPage,
  readEnvironmentPage,
  readOverview,
  readRunRows,
  readOwnTestPage,
  readTestEnvironments,
  runOf,
  runSchema,
  searchSeries,
  seriesNameSchema,
  testPageSchema,
  type ChartStore,
} from '../flake/charts/index.js';
import { badgeOfRate, renderBadge } from './badge.js';
import { joinParts, partText, type ReadPart } from './page-parts.js';
import {
  badgeQuery,
  commitQuery,
  commitsQuery,
  environmentQuery,
  runsQuery,
  testQuery,
  testsQuery,
  viewQuery,
} from './query.js';

/**
 * One readable address: the server registers it and the OpenAPI document describes it from the same entry.
 */
export interface ReadRoute {
  readonly path: string;
  readonly operation: string;
  readonly summary: string;
  readonly query: z.ZodObject;
  readonly contentType: 'application/json' | 'image/svg+xml';
  /** Of JSON answers. */
  readonly answer?: z.ZodType;
  /** One or more, whose texts {@link joinParts} makes the answer. */
  readonly parts: readonly ReadPart[];
}

/** Text of an answer, read at once. */
export async function readAnswer(
  { parts }: Pick<ReadRoute, 'parts'>,
  store: ChartStore,
  query: unknown,
): Promise<string> {
  const texts: string[] = [];
  for (const { read } of parts) texts.push(await read(store, query));
  return joinParts(texts);
}

/** Ties what is read to the types of its query and its answer. */
function jsonRoute<Query extends z.ZodObject, Answer extends z.ZodType>(route: {
  readonly path: string;
  readonly operation: string;
  readonly summary: string;
  readonly query: Query;
  readonly answer: Answer;
  /** The one that all of the answer is read from. */
  readonly environment?: (query: z.output<Query>) => string;
  readonly read: (store: ChartStore, query: z.output<Query>) => Promise<z.output<Answer>>;
}): ReadRoute {
  const { path, operation, summary, query: schema, answer, environment, read } = route;
  return {
    path,
    operation,
    summary,
    query: schema,
    answer,
    contentType: 'application/json',
    parts: [
      {
        ...(environment === undefined ? {} : { environment: (query) => environment(schema.parse(query)) }),
        read: async (store, query) => `${JSON.stringify(await read(store, schema.parse(query)))}\n`,
      },
    ],
  };
}

function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    next: z.int().optional().describe('offset of the next page; absent on the last'),
  });
}

/** One more than asked for was read, to see whether there is more. */
function paged<T>(rows: readonly T[], { limit, offset }: { readonly limit: number; readonly offset: number }) {
  return { items: rows.slice(0, limit), ...(rows.length > limit ? { next: offset + limit } : {}) };
}

export const READ_ROUTES: readonly ReadRoute[] = [
  jsonRoute({
    path: '/api/pages/overview',
    operation: 'overview',
    summary: 'Failed tests a day in every environment, rankings with growth, newest commits',
    query: viewQuery,
    answer: overviewSchema,
    read: readOverview,
  }),
  jsonRoute({
    path: '/api/pages/environment',
    operation: 'environment',
    summary: 'An environment: its days, and its tests that fail most by day and week',
    query: environmentQuery,
    answer: environmentPageSchema,
    environment: ({ environment }) => environment,
    read: async (store, { environment, ...query }) => await readEnvironmentPage(store, environment, query),
  }),
  {
    path: '/api/pages/test',
    operation: 'test',
    summary: 'A test in an environment: rate with interval, attempts, changepoints, signatures',
    query: testQuery,
    contentType: 'application/json',
    answer: testPageSchema,
    parts: [
      {
        environment: (query) => testQuery.parse(query).environment,
        read: async (store, query) => {
          const checked = testQuery.parse(query);
          return partText(await readOwnTestPage(store, checked, checked));
        },
      },
      {
        read: async (store, query) => {
          const checked = testQuery.parse(query);
          return partText(await readTestEnvironments(store, checked, checked));
        },
      },
    ],
  },
  jsonRoute({
    path: '/api/pages/commit',
    operation: 'commit',
    summary: 'A commit: its runs, and the tests that failed on it beside their usual rate',
    query: commitQuery,
    answer: commitPageSchema,
    read: async (store, { commit, repository }) => await readCommitPage(store, commit, { repository }),
  }),
  jsonRoute({
    path: '/api/tests',
    operation: 'tests',
    summary: 'Tests by name, in every environment where they ran',
    query: testsQuery,
    answer: pageOf(seriesNameSchema),
    read: async (store, { search, limit, offset, ...scope }) => {
      const rows = await store.read((db) => searchSeries(db, scope, search, { limit: limit + 1, offset }));
      const names = rows.map(({ repository, environment, package: pkg, test }) => ({
        repository,
        environment,
        package: pkg,
        test,
      }));
      return paged(names, { limit, offset });
    },
  }),
  jsonRoute({
    path: '/api/runs',
    operation: 'runs',
    summary: 'Runs, newest first',
    query: runsQuery,
    answer: pageOf(runSchema),
    read: async (store, { limit, offset, ...scope }) => {
      const rows = await store.read((db) => readRunRows(db, scope, { limit: limit + 1, offset }));
      return paged(rows.map(runOf), { limit, offset });
    },
  }),
  jsonRoute({
    path: '/api/commits',
    operation: 'commits',
    summary: 'Commits by their newest run, newest first',
    query: commitsQuery,
    answer: pageOf(commitSummarySchema),
    read: async (store, { limit, offset, ...query }) => {
      const rows = await readChartCommits(store, query, { limit: limit + 1, offset });
      return paged(rows.map(commitSummary), { limit, offset });
    },
  }),
  {
    path: '/badge.svg',
    operation: 'badge',
    summary: 'Badge of a test, or of all tests of an environment: failed share with k of n over 30 days',
    query: badgeQuery,
    contentType: 'image/svg+xml',
    parts: [
      {
        environment: (query) => badgeQuery.parse(query).environment,
        read: async (store, query) => await readBadge(store, badgeQuery.parse(query)),
      },
    ],
  },
];

async function readBadge(store: ChartStore, query: z.output<typeof badgeQuery>): Promise<string> {
  const { environment, test, repository } = query;
  const days = query.days ?? 30;
  if (test !== undefined) {
    const page = await readOwnTestPage(store, { ...query, test }, { days });
    return renderBadge(badgeOfRate(test, page.rate));
  }
  const page = await readEnvironmentPage(store, environment, { repository, days });
  const failed = page.days.reduce((sum, day) => sum + day.failedTests, 0);
  const tests = page.days.reduce((sum, day) => sum + day.tests, 0);
  // Of executed tests, not of attempts of one test: no interval is claimed, so its lower end is the share itself.
  const share = tests === 0 ? undefined : failed / tests;
  const rate = {
    failed,
    attempts: tests,
    low: share ?? 0,
    high: share ?? 1,
    ...(share === undefined ? {} : { rate: share }),
  };
  return renderBadge(badgeOfRate(environment, rate));
}
