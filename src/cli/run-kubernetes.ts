import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

import { connectToCluster } from '../cluster/index.js';
import { createJournal } from '../cluster/journal.js';
import { ownershipLabels } from '../cluster/ownership.js';
import { MkCiError, messageOf } from '../errors.js';
import { foldersOf } from '../files.js';
import { identifySelf } from '../process.js';
import type { EngineRun } from '../runner/index.js';
import { checkCells, createJobApi, executeOnKubernetes, jobNameOf } from '../runner/kubernetes/index.js';
import type { CliContext } from './command.js';
import { ENGINE_DRIVER } from './engine-driver.js';
import { formatEngineJob } from './engine-jobs.js';
import type { OpenEngine } from './run.js';

/** Pods at a time without `--jobs`: the cluster's scheduler knows what fits, this only keeps its queue short. */
const PARALLELISM = 20;

/** `mk-ci run --engine=kubernetes`. @throws {MkCiError} see {@link OpenEngine} */
export async function openKubernetesEngine(
  { flags, config, plan, filters, selected }: Parameters<OpenEngine>[0],
  context: CliContext,
): ReturnType<OpenEngine> {
  const { engineImage: image, keep } = flags;
  if (image === undefined) {
    throw new MkCiError('CLI_USAGE', {
      message: '--engine=kubernetes without --engine-image',
      advice: 'Name an image that holds mk-ci and the project; docs/machines.md tells how to make one.',
    });
  }
  if (keep !== 'never') {
    throw new MkCiError('CLI_USAGE', {
      message: `--keep ${keep} with --engine=kubernetes`,
      advice: 'Leave --keep out: the cluster is not made by the run, and stays.',
    });
  }
  checkCells(plan.cells);
  const file = resolve(
    context.cwd,
    flags.engineKubeconfig ??
      context.env['KUBECONFIG']?.split(':')[0] ??
      join(context.env['HOME'] ?? homedir(), '.kube', 'config'),
  );
  const connection = await connectToCluster(file, flags.engineContext);
  const namespace = flags.engineNamespace ?? connection.namespace;
  const configText = await readFile(config.file, 'utf8').catch((error: unknown) => {
    throw new MkCiError('CFG_UNREADABLE', { message: `${config.file}: ${messageOf(error)}`, cause: error });
  });
  const { retries, timeoutMs, select } = filters;

  return async (run: EngineRun) => {
    using _client = connection.client;
    const journal = createJournal({ folder: join(foldersOf(context.env).state, 'journal') });
    const ownership = { role: 'engine', runId: run.runId, owner: identifySelf() };
    const name = formatEngineJob({ file, context: connection.context, namespace, job: jobNameOf(run.runId) });
    const entry = await journal.intend({ kind: 'resource', driver: ENGINE_DRIVER, type: 'job', name }, ownership);
    const outcome = await executeOnKubernetes({
      ...run,
      api: createJobApi(connection.client, namespace),
      namespace,
      image,
      serviceAccount: flags.engineServiceAccount ?? 'default',
      parallelism: flags.jobs ?? PARALLELISM,
      environments: selected,
      filters: {
        ...(retries === undefined ? {} : { retries }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        ...(select === undefined ? {} : { select }),
      },
      configText,
      ownership: Object.fromEntries(
        Object.entries(ownershipLabels(ownership)).map(([key, value]) => [`mk-ci.${key}`, value]),
      ),
      onNote: (message) => {
        context.log.info(message);
      },
      onRemoved: async () => {
        await journal.done(entry.id);
      },
    });
    return outcome;
  };
}
