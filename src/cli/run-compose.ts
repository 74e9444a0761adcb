import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import type { Config, Environment } from '../config/index.js';
import { createDriverRegistry } from '../drivers/index.js';
import { messageOf } from '../errors.js';
import { exec } from '../exec.js';
import { ALL_FORMATS, testKey } from '../results/index.js';
import { clusterLoad, type Load, type TestDurations } from '../runner/index.js';
import type { CliContext } from './command.js';
import { openRunClusters } from './compose.js';
import { isDatabaseUrl, locationOf } from './flake/options.js';
import { runFiles } from './report/run-files.js';
import type { Finisher, RunDeps } from './run.js';

/** The real parts of `mk-ci run`. */
export function composeRun(context: CliContext): RunDeps {
  const drivers = createDriverRegistry({ exec });
  return {
    createClusters: async ({ runId, plan }) => openRunClusters(context, { runId, environments: plan.environments }),
    clusterLoad: (environment: Environment): Load =>
      clusterLoad(drivers.get(environment.driver).info.bootstrap, environment.nodes),
    formats: ALL_FORMATS,
    durations: (config) => recordedDurations(config, context),
    finishers: async (config, folder) => [
      // The history is that before this run, so the files come first.
      ...runFiles(folder, context, { database: locationOf(config.flake.database, config.folder) }),
      flakeFinisher(config),
    ],
    now: () => new Date(),
  };
}

/** Mean durations of tests from the database, for shards of equal length; none when there is no database yet. */
async function recordedDurations(config: Config, context: Pick<CliContext, 'log'>): Promise<TestDurations> {
  const location = locationOf(config.flake.database, config.folder);
  const durations = new Map<string, number>();
  const keyOf = (environment: string, key: string): string => `${environment}\0${key}`;
  try {
    if (isDatabaseUrl(location) || (await exists(location))) {
      const { openFlakeStore } = await import('../flake/index.js');
      const store = await openFlakeStore(location, { readonly: true });
      try {
        for (const row of await store.durations()) {
          const key = testKey({ package: row.package, name: row.test });
          durations.set(keyOf(row.environment, key), row.durationMs);
        }
      } finally {
        await store.close();
      }
    }
  } catch (error) {
    // Only how tests are spread over shards depends on it.
    context.log.warn('durations of earlier runs could not be read', { database: location, why: messageOf(error) });
  }
  return (environment, _suite, test) => durations.get(keyOf(environment, testKey(test)));
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

function flakeFinisher(config: Config): Finisher {
  return {
    name: 'flake database',
    finish: async (run) => {
      const { database } = config.flake;
      const location = locationOf(database, config.folder);
      if (!isDatabaseUrl(location)) await mkdir(dirname(location), { recursive: true });
      const { openFlakeStore } = await import('../flake/index.js');
      const store = await openFlakeStore(location);
      try {
        await store.recordRun(run);
        return store.location;
      } finally {
        await store.close();
      }
    },
  };
}
