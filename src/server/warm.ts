import type { Hono } from 'hono';

import { environmentPageSchema, overviewSchema } from '../flake/charts/index.js';
import type { ReadPool } from './read-pool.js';

/** Pages that are made at the same time; requests of readers wait for no more than these. */
const LANES = 2;

export interface WarmOptions {
  /** Ends it after the pages that are being made. */
  readonly signal: AbortSignal;
  /** Has every thread read a page, where threads read. */
  readonly readInAll?: ReadPool['readInAll'];
}

/**
 * Asks for the pages that readers open first, the overview, every environment on it and its first test: kept answers and read
 * pages of the file make the first minute like the others. An answer that is an error is left to the reader who asks for it.
 */
export async function warmPages(app: Pick<Hono, 'request'>, options: WarmOptions): Promise<void> {
  const { signal } = options;
  const overview = await app.request('/api/pages/overview');
  if (!overview.ok) return;
  const parsed = overviewSchema.safeParse(await overview.json());
  if (!parsed.success) return;
  const waiting = parsed.data.environments.map(({ environment }) => environment);
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined && !signal.aborted; next = waiting.shift()) {
      await warmEnvironment(app, next, options);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

async function warmEnvironment(
  app: Pick<Hono, 'request'>,
  environment: string,
  { readInAll }: WarmOptions,
): Promise<void> {
  const answer = await app.request(address('environment', { environment }));
  if (!answer.ok) return;
  const page = environmentPageSchema.safeParse(await answer.json());
  const first = page.data?.tests[0];
  if (first === undefined) return;
  const { repository, package: pkg, test } = first;
  const query = { repository, environment, package: pkg, test };
  await app.request(address('test', query));
  // What is remembered of the environment's runs serves all of its tests.
  await readInAll?.(pageOf('test'), query).catch(() => undefined);
}

function address(page: string, query: Readonly<Record<string, string>>): string {
  return `${pageOf(page)}?${new URLSearchParams(query).toString()}`;
}

const pageOf = (page: string): string => `/api/pages/${page}`;
