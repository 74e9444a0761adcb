import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { Command } from 'commander';

import { renderTokenKubeconfig } from '../cluster/index.js';
import { ownershipLabels } from '../cluster/ownership.js';
import { parseConfig, selectEnvironments, type Environment } from '../config/index.js';
import { MkCiError, isMkCiError, messageOf } from '../errors.js';
import { createTemporaryFolder, writeFileAtomically } from '../files.js';
import { identifySelf } from '../process.js';
import { runFolderAt } from '../results/run-folder.js';
import { executeRun, limitsOf, planRun, type RunOutcome } from '../runner/index.js';
import {
  ASSIGNMENT_FILE,
  CONFIG_FILE,
  createSender,
  parseAssignment,
  type PodEnd,
} from '../runner/kubernetes/index.js';
import { VERSION } from '../version.js';
import { Interrupt, type CliContext } from './command.js';
import type { RunDeps } from './run.js';

/** What a pod of `run --engine=kubernetes` runs: its cell, as on any host, and the sending of what it leaves. */
export function build(context: CliContext): Command {
  return new Command('engine-pod')
    .description('run one cell of a Job and send its results; started by mk-ci run --engine=kubernetes')
    .argument('<folder>', 'assignment')
    .action(async (folder: string) => {
      const { composeRun } = await import('./run-compose.js');
      await runPod(folder, context, composeRun(context));
    });
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const NEWS_MS = 500;

/** Exits 0 when the cell ran to its end and everything was sent, whatever its tests said. */
async function runPod(assignmentFolder: string, context: CliContext, deps: RunDeps): Promise<void> {
  await using temporary = await createTemporaryFolder('mk-ci-pod-');
  const root = join(temporary.path, 'run');
  const sender = createSender(root, context.stdout);
  const over = new AbortController();
  const news = (async () => {
    for (;;) {
      const isOver = await delay(NEWS_MS, false, { signal: over.signal }).catch(() => true);
      if (isOver) return;
      await sender.sendNews();
    }
  })();
  let end: PodEnd;
  try {
    const { problems } = await runCellOfPod(assignmentFolder, temporary.path, root, context, deps);
    end = { isWhole: !context.signal.aborted, problems };
  } catch (error) {
    const known = isMkCiError(error) ? error : new MkCiError('CLI_INTERNAL', { message: messageOf(error) });
    const { code, message, advice } = known;
    end = { isWhole: false, problems: [], error: { code, message, advice } };
    context.exit(known.exitCode);
  }
  over.abort();
  await news;
  await sender.sendRest(end);
}

async function runCellOfPod(
  assignmentFolder: string,
  temporary: string,
  root: string,
  context: CliContext,
  deps: RunDeps,
): Promise<RunOutcome> {
  const read = async (name: string): Promise<string> => await readFile(join(assignmentFolder, name), 'utf8');
  const { runId, cells, environments, filters } = parseAssignment(await read(ASSIGNMENT_FILE));
  const id = cells[Number(context.env['JOB_COMPLETION_INDEX'] ?? Number.NaN)];
  if (id === undefined) throw new MkCiError('CLI_USAGE', { message: 'JOB_COMPLETION_INDEX names no cell' });
  const config = parseConfig(await read(CONFIG_FILE), join(context.cwd, CONFIG_FILE));
  const kubeconfig = join(temporary, 'kubeconfig');
  await writeFileAtomically(kubeconfig, await inClusterKubeconfig(context.env), { mode: 0o600 });
  // Whatever leads to the cluster from outside, in here it is the cluster of the pod.
  const here = (environment: Environment): Environment => ({ ...environment, options: { kubeconfig } });
  const plan = planRun(
    { environments: selectEnvironments(config.environments, environments).map(here), suites: config.suites },
    { ...filters, cells: [id] },
  );
  return await executeRun({
    plan,
    runId,
    toolVersion: VERSION,
    source: {},
    folder: runFolderAt(root),
    configFolder: context.cwd,
    clusters: await deps.createClusters({ runId, plan, isConfirmed: false }),
    clusterLoad: deps.clusterLoad,
    // One cell, and the scheduler of the cluster has admitted it.
    limits: limitsOf({ cpus: 1, memoryMiB: 1 }, 1),
    formats: deps.formats,
    hostEnv: context.env,
    labels: ownershipLabels({ role: 'suite', runId, owner: identifySelf() }),
    keep: 'never',
    failOnFlaky: false,
    signal: context.signal,
    interruptedBy: () =>
      context.signal.aborted && context.signal.reason instanceof Interrupt
        ? context.signal.reason.signalName
        : undefined,
    now: deps.now,
  });
}

/** @throws {MkCiError} `K8S_KUBECONFIG` outside of a pod, or in one without a ServiceAccount */
async function inClusterKubeconfig(env: CliContext['env']): Promise<string> {
  try {
    const [ca, token, namespace] = await Promise.all(
      ['ca.crt', 'token', 'namespace'].map((name) => readFile(join(SERVICE_ACCOUNT, name), 'utf8')),
    );
    const host = env['KUBERNETES_SERVICE_HOST'] ?? 'kubernetes.default.svc';
    const address = host.includes(':') ? `[${host}]` : host;
    return renderTokenKubeconfig({
      name: 'in-cluster',
      server: `https://${address}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`,
      ca: ca ?? '',
      token: token?.trim() ?? '',
      namespace: namespace?.trim() ?? 'default',
    });
  } catch (error) {
    throw new MkCiError('K8S_KUBECONFIG', { message: `no ServiceAccount here: ${messageOf(error)}`, cause: error });
  }
}
