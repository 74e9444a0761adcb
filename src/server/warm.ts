import type { Hono } from 'hono';

import { environmentPageSchema, overviewSchema } from '../flake/charts/index.js';

/** Pages that are made at the same time; requests of readers wait for no more than these. */
const LANES = 2;

/**
 * Asks for the pages that readers open first, the overview, every environment on it and its first test: kept answers and read
 * pages of the file make the first minute like the others. An answer that is an error is left to the reader who asks for it.
 *
 * @param signal ends it after the pages that are being made
 */
export async function warmPages(app: Pick<Hono, 'request'>, signal: AbortSignal): Promise<void> {
  const overview = await app.request('/api/pages/overview');
  if (!overview.ok) return;
  const parsed = overviewSchema.safeParse(await overview.json());
  if (!parsed.success) return;
  const waiting = parsed.data.environments.map(({ environment }) => environment);
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined && !signal.aborted; next = waiting.shift()) {
      await warmEnvironment(app, next);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

async function warmEnvironment(app: Pick<Hono, 'request'>, environment: string): Promise<void> {
  const answer = await app.request(address('environment', { environment }));
  if (!answer.ok) return;
  const page = environmentPageSchema.safeParse(await answer.json());
  const first = page.data?.tests[0];
  if (first === undefined) return;
  const { repository, package: pkg, test } = first;
  await app.request(address('test', { repository, environment, package: pkg, test }));
}

function address(page: string, query: Readonly<Record<string, string>>): string {
  return `/api/pages/${page}?${new URLSearchParams(query).toString()}`;
}
