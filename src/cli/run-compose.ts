import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { steadyClock } from '../clock.js';
import type { Config, Environment } from '../config/index.js';
import { createDriverRegistry } from '../drivers/index.js';
import { messageOf } from '../errors.js';
import { foldersOf, makeFolder, writeFileAtomically } from '../files.js';
import { exec } from '../exec.js';
import { ALL_FORMATS, testKey } from '../results/index.js';
import { cellDurations, clusterLoad, type Load, type RecordedSuite } from '../runner/index.js';
import type { CliContext } from './command.js';
import { openClusters, openNodeParts, openRunClusters, pickDriver } from './compose.js';
import { isDatabaseUrl, locationOf } from './flake/options.js';
import { runFiles } from './report/run-files.js';
import type { Finisher, RunDeps, RunHistory } from './run.js';

/** The real parts of `mk-ci run`. */
export function composeRun(context: CliContext): RunDeps {
  const drivers = createDriverRegistry({ exec, folders: foldersOf(context.env) });
  const manager = openClusters(context);
  return {
    createClusters: async ({ plan, ...run }) => openRunClusters(context, { ...run, environments: plan.environments }),
    clusterLoad: (environment: Environment): Load =>
      clusterLoad(drivers.get(environment.driver).info, environment.nodes),
    validate: (environment) => {
      manager.validate(environment);
    },
    pickDriver: async (kubernetesVersions) =>
      await pickDriver(context, { nodes: { nodeImage: openNodeParts(context).nodeImage, kubernetesVersions } }),
    formats: ALL_FORMATS,
    history: (config) => readHistory(config, context),
    finishers: async (config, folder) => [
      // The history is that before this run, so the files come first.
      ...runFiles(folder, context, { database: locationOf(config.flake.database, config.folder) }),
      flakeFinisher(config),
      ...prowFinishers(context.env),
    ],
    now: steadyClock(),
    openEngine: async (request) => {
      const { openKubernetesEngine } = await import('./run-kubernetes.js');
      return await openKubernetesEngine(request, context);
    },
  };
}

/**
 * In a Prow job the results lie where Spyglass and TestGrid look: `$ARTIFACTS/junit_mk-ci.xml`, and the phases as kubetest2
 * leaves them in `$ARTIFACTS/junit_runner.xml`.
 */
function prowFinishers(env: CliContext['env']): Finisher[] {
  const artifacts = env['ARTIFACTS'];
  if (env['PROW_JOB_ID'] === undefined || !artifacts) return [];
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(artifacts, name);
    await writeFileAtomically(path, text);
    return path;
  };
  return [
    {
      name: 'Prow',
      isFile: false,
      finish: async (run, folder) => {
        const { renderKubetest2Junit } = await import('../results/writers/index.js');
        await write('junit_runner.xml', renderKubetest2Junit(run));
        return await write('junit_mk-ci.xml', await readFile(folder.junit, 'utf8'));
      },
    },
  ];
}

/** Durations of earlier runs from the database of the configuration; none when there is no database yet. */
async function readHistory(config: Config, context: Pick<CliContext, 'log'>): Promise<RunHistory> {
  const location = locationOf(config.flake.database, config.folder);
  const tests = new Map<string, number>();
  const keyOf = (environment: string, key: string): string => `${environment}\0${key}`;
  let suites: readonly RecordedSuite[] = [];
  try {
    if (isDatabaseUrl(location) || (await exists(location))) {
      const { openFlakeStore } = await import('../flake/index.js');
      const store = await openFlakeStore(location, { readonly: true });
      try {
        suites = await store.suiteDurations();
        // Only shards ask for single tests.
        for (const row of config.suites.some(({ shards }) => shards > 1) ? await store.durations() : []) {
          tests.set(keyOf(row.environment, testKey({ package: row.package, name: row.test })), row.durationMs);
        }
      } finally {
        await store.close();
      }
    }
  } catch (error) {
    // Only the order of cells and how tests are spread over shards depend on it.
    context.log.warn('durations of earlier runs could not be read', { database: location, why: messageOf(error) });
  }
  return {
    tests: (environment, _suite, test) => tests.get(keyOf(environment, testKey(test))),
    cells: cellDurations(suites),
  };
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
    isFile: false,
    finish: async (run) => {
      const { database } = config.flake;
      const location = locationOf(database, config.folder);
      if (!isDatabaseUrl(location)) await makeFolder(dirname(location));
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
