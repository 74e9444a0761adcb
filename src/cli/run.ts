import { randomBytes } from 'node:crypto';
import { rename, rm, symlink } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';

import { Command } from 'commander';

import type { ClusterSource } from '../cluster/cluster.js';
import { ownershipLabels } from '../cluster/ownership.js';
import {
  loadConfig,
  selectEnvironments,
  type Config,
  type Environment,
  type EnvironmentFilter,
} from '../config/index.js';
import { ERROR_CATALOGUE, MkCiError, isMkCiError, messageOf, redactSecrets } from '../errors.js';
import { exec } from '../exec.js';
import { identifySelf } from '../process.js';
import { countTests } from '../results/counts.js';
import type { RunResult } from '../results/model.js';
import { plural } from '../results/text.js';
import { runFolderAt, runIdOf, type RunFolder } from '../results/run-folder.js';
import {
  createRunTerminal,
  executeRun,
  limitsOf,
  planRun,
  readGitFacts,
  runSummary,
  sourceInfo,
  type CellDurations,
  type EngineRun,
  type Formats,
  type Load,
  type PlanFilters,
  type RunOutcome,
  type RunPlan,
  type TestDurations,
} from '../runner/index.js';
import { freeInotifyInstances } from '../drivers/index.js';
import { formatPlan, planJson } from '../runner/index.js';
import { VERSION } from '../version.js';
import { Interrupt, type CliContext } from './command.js';
import { availableMemoryMiB } from './host-memory.js';
import { addRunFlags, environmentFilter, planFilters, withSshHost, type RunFlags } from './run-options.js';

/** Something done with a finished run, such as writing a report. One that fails does not stop the next. */
export interface Finisher {
  readonly name: string;
  /** Writes into the run folder: a run of which such a file is missing does not exit 0. */
  readonly isFile: boolean;
  /** @returns the path to show to people, if there is one */
  readonly finish: (run: RunResult, folder: RunFolder) => Promise<string | undefined>;
}

/** What earlier runs tell of this one. */
export interface RunHistory {
  /** For shards of equal length. */
  readonly tests: TestDurations;
  /** For the order in which cells start. */
  readonly cells: CellDurations;
}

/** What `run` is composed of. */
export interface RunDeps {
  readonly createClusters: (run: {
    readonly runId: string;
    readonly plan: RunPlan;
    /** Whether this host may be changed. */
    readonly isConfirmed: boolean;
  }) => Promise<ClusterSource>;
  readonly clusterLoad: (environment: Environment) => Load;
  /** @throws {MkCiError} for an environment of which no cluster can be made, as far as can be told without asking the host */
  readonly validate: (environment: Environment) => void;
  /** The best driver of this host whose nodes can be of these versions; nothing is got for them when there are none. */
  readonly pickDriver: (kubernetesVersions: readonly string[]) => Promise<string>;
  readonly formats: Formats;
  readonly history: (config: Config) => Promise<RunHistory>;
  readonly finishers: (config: Config, folder: RunFolder) => Promise<readonly Finisher[]>;
  /** The same clock for all of a run; it never goes back. */
  readonly now: () => Date;
  /**
   * Somewhere else to run cells, checked before anything starts.
   *
   * @throws {MkCiError} for flags that do not fit, cells that it can not run, a cluster that can not be used
   */
  readonly openEngine: OpenEngine;
}

export type OpenEngine = (request: {
  readonly flags: RunFlags;
  readonly config: Config;
  readonly plan: RunPlan;
  readonly filters: PlanFilters;
  readonly selected: EnvironmentFilter;
}) => Promise<(run: EngineRun) => Promise<RunOutcome>>;

export function build(context: CliContext): Command {
  return addRunFlags(new Command('run'))
    .description('run suites on every environment')
    .argument('[suite...]', 'names or globs of suites; all without one')
    .addHelpText('after', '\nExample:\n  mk-ci run e2e --driver local --jobs 4 --out _artifacts\n')
    .action(async (suites: string[], flags: RunFlags) => {
      const { composeRun } = await import('./run-compose.js');
      await runCommand(suites, flags, context, composeRun(context));
    });
}

/** Plans, runs, reports. Sets the exit code through the context. */
export async function runCommand(
  suites: readonly string[],
  flags: RunFlags,
  context: CliContext,
  deps: RunDeps,
): Promise<void> {
  const config = await loadConfig({ cwd: context.cwd, file: flags.config });
  const filters = planFilters(suites, flags);
  const versions = flags.kubernetesVersion ?? config.environments.map(({ kubernetesVersion }) => kubernetesVersion);
  const selected = await environmentFilter(
    flags,
    async () => await deps.pickDriver(flags.dryRun === true ? [] : [...new Set(versions)]),
  );
  const environments = withSshHost(selectEnvironments(config.environments, selected), flags, context.cwd);
  const history = await deps.history(config);
  const plan = planRun({ environments, suites: config.suites }, filters, history.cells);
  validateAll(plan.environments, deps.validate);
  const engine =
    flags.engine === 'kubernetes' ? await deps.openEngine({ flags, config, plan, filters, selected }) : undefined;
  const host = { cpus: availableParallelism(), memoryMiB: availableMemoryMiB(), inotify: await freeInotifyInstances() };
  const limits = limitsOf(host, flags.jobs);
  if (flags.dryRun === true) {
    await context.stdout(
      flags.json === true
        ? `${JSON.stringify(planJson(plan, limits), null, 2)}\n`
        : formatPlan(plan, limits, deps.clusterLoad),
    );
    return;
  }
  for (const warning of plan.warnings) context.log.warn(warning);
  /** Programs that are missing are got before the view of the run begins. */
  const openThisHost = async (): Promise<(run: EngineRun) => Promise<RunOutcome>> => {
    const clusters = await deps.createClusters({ runId, plan, isConfirmed: flags.yes === true });
    return async (run) =>
      await executeRun({
        ...run,
        configFolder: config.folder,
        clusters,
        clusterLoad: deps.clusterLoad,
        limits,
        formats: deps.formats,
        durations: history.tests,
        hostEnv: context.env,
        labels: ownershipLabels({ role: 'suite', runId, owner: identifySelf() }),
        keep: flags.keep,
      });
  };

  const startedAt = deps.now();
  const runId = runIdOf(startedAt, randomBytes(3).toString('hex'));
  const out = resolve(context.cwd, flags.out ?? join(config.folder, '.mk-ci', 'runs'));
  const folder = runFolderAt(join(out, runId));
  const git = await readGitFacts(exec, config.folder, context.signal);
  context.log.info(
    `run ${runId}: ${plural(plan.cells.length, 'cell')} in ${plural(plan.environments.length, 'environment')}`,
  );
  const runCells = engine ?? (await openThisHost());
  const terminal = createRunTerminal({
    write: context.stderr,
    isTerminal: context.isTerminal,
    color: context.color,
    size: context.size,
    now: () => deps.now().getTime(),
  });
  let outcome: RunOutcome;
  try {
    const common: EngineRun = {
      plan,
      runId,
      toolVersion: VERSION,
      source: sourceInfo(context.env, git),
      folder,
      failOnFlaky: flags.failOnFlaky === true,
      signal: context.signal,
      interruptedBy: () =>
        context.signal.aborted && context.signal.reason instanceof Interrupt
          ? context.signal.reason.signalName
          : undefined,
      now: deps.now,
      onEvent: (event) => {
        terminal.onEvent(event);
      },
    };
    outcome = await runCells(common);
  } finally {
    terminal.close();
  }

  const { paths, missesFile } = await finish(outcome.result, folder, await deps.finishers(config, folder), context);
  await pointLatest(folder.root);
  context.stderr(`\n${redactSecrets(runSummary(outcome.result))}\n`);
  for (const cluster of outcome.keptClusters) {
    context.stderr(`kept: cluster ${cluster.name}, KUBECONFIG=${cluster.kubeconfig}\n`);
  }
  for (const problem of outcome.problems) context.log.warn(problem);
  context.stderr(`${paths.map(({ name, path }) => `${name}: ${path}`).join('\n')}\n`);
  if (flags.json === true) await context.stdout(`${JSON.stringify(outcomeJson(outcome, folder), null, 2)}\n`);
  context.exit(missesFile && outcome.exitCode === 0 ? ERROR_CATALOGUE.RUN_OUTPUT.exitCode : outcome.exitCode);
}

/**
 * Options that are not right, of all environments at once. What else an environment lacks is said by its cells, and the others go on.
 *
 * @throws {MkCiError} `CFG_INVALID`
 */
function validateAll(environments: readonly Environment[], validate: RunDeps['validate']): void {
  const problems = environments.flatMap((environment) => {
    try {
      validate(environment);
      return [];
    } catch (error) {
      if (!isMkCiError(error, 'CFG_INVALID')) return [];
      const { problems: found = [error.message] } = error.details as { readonly problems?: readonly string[] };
      return found.map((problem) => `environment ${environment.name}: ${problem}`);
    }
  });
  if (problems.length === 0) return;
  throw new MkCiError('CFG_INVALID', {
    message: `${plural(problems.length, 'problem')} in options of environments`,
    advice: 'Correct the options of the environments.',
    details: { problems },
  });
}

async function finish(
  run: RunResult,
  folder: RunFolder,
  finishers: readonly Finisher[],
  context: CliContext,
): Promise<{ readonly paths: readonly { name: string; path: string }[]; readonly missesFile: boolean }> {
  const paths = [{ name: 'run', path: folder.root }];
  let missesFile = false;
  for (const { name, isFile, finish: act } of finishers) {
    try {
      const path = await act(run, folder);
      if (path !== undefined) paths.push({ name, path });
    } catch (error) {
      context.log.error(`${name} could not be written`, { why: messageOf(error) });
      missesFile ||= isFile;
    }
  }
  return { paths, missesFile };
}

/** `latest` beside the run folders; where links are not possible it is simply not there. */
async function pointLatest(root: string): Promise<void> {
  const link = join(dirname(root), 'latest');
  const temporary = `${link}.${process.pid}`;
  try {
    await symlink(root.slice(dirname(root).length + 1), temporary);
    await rename(temporary, link);
  } catch {
    await rm(temporary, { force: true }).catch(() => undefined); // a convenience, nothing depends on it
  }
}

function outcomeJson({ result, exitCode }: RunOutcome, folder: RunFolder): Record<string, unknown> {
  return {
    runId: result.runId,
    folder: folder.root,
    exitCode,
    counts: countTests(result.cells.flatMap((cell) => cell.tests)),
    cells: result.cells.map(({ id, environment, suite, status, durationMs, tests }) => ({
      id,
      environment,
      suite,
      status,
      durationMs,
      counts: countTests(tests),
    })),
    errors: result.errors,
  };
}
