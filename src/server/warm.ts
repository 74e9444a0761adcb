import type { Hono } from 'hono';

import { overviewSchema } from '../flake/charts/index.js';

/** Pages that are made at the same time; requests of readers wait for no more than these. */
const LANES = 2;

/**
 * Asks for the pages that readers open first, the overview and every environment on it, and for the first test: kept answers
 * and read pages of the file make the first minute like the others. An answer that is an error is left to the reader who
 * asks for it.
 *
 * @param signal ends it after the pages that are being made
 */
export async function warmPages(app: Pick<Hono, 'request'>, signal: AbortSignal): Promise<void> {
  const overview = await app.request('/api/pages/overview');
  if (!overview.ok) return;
  const parsed = overviewSchema.safeParse(await overview.json());
  if (!parsed.success) return;
  const { environments, tests } = parsed.data;
  const waiting = [
    ...tests
      .slice(0, 1)
      .map(({ repository, environment, package: pkg, test }) =>
        address('test', { repository, environment, package: pkg, test }),
      ),
    ...environments.map(({ environment }) => address('environment', { environment })),
  ];
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined && !signal.aborted; next = waiting.shift()) {
      await app.request(next);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

function address(page: string, query: Readonly<Record<string, string>>): string {
  return `/api/pages/${page}?${new URLSearchParams(query).toString()}`;
}
