import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { Command, Option } from 'commander';

import { DEFAULT_KUBERNETES_VERSION } from '../cluster/bundle/bundle.js';
import type {
  ClusterCallOptions,
  ClusterManager,
  ClusterSpec,
  ClusterStatus,
  PhaseEvent,
  RunningCluster,
} from '../cluster/cluster.js';
import {
  ADDON_NAMES,
  NO_VERSION,
  clusterEnvironment,
  isAddonName,
  kubernetesAbsent,
  type AddonName,
  type ClusterNodesManager,
  type SeedableClusterManager,
} from '../cluster/index.js';
import { createSnapshots } from '../cluster/snapshots/index.js';
import { AUTO_DRIVER, DEFAULT_DRIVER } from '../drivers/index.js';
import { MkCiError, isMkCiError } from '../errors.js';
import { foldersOf } from '../files.js';
import { runInForeground } from '../foreground.js';
import { startOnBest } from './auto-driver.js';
import { buildCopyCommand, buildSshCommand } from './cluster-files.js';
import { buildImageCommand } from './cluster-image.js';
import { buildNodeCommand } from './cluster-node.js';
import { buildSnapshotCommand } from './cluster-snapshot.js';
import { buildUpgradeCommand } from './cluster-upgrade.js';
import { Interrupt, type CliContext } from './command.js';
import { openClusters, openNodeParts, pickDriver, prepareNodes } from './compose.js';
import { addSshFlags, sshOptionsOf, type SshFlags } from './ssh-flags.js';

export function build(context: CliContext): Command {
  const command = new Command('cluster')
    .summary('start, stop and look at named clusters')
    .description('Named clusters on this host. All commands are idempotent.')
    .addHelpText(
      'after',
      '\nExamples:\n  mk-ci cluster start demo --nodes 2\n  mk-ci cluster exec demo -- kubectl get nodes\n',
    );
  const json = new Option('--json', 'print data');
  const dryRun = new Option('--dry-run', 'only say what would be done');
  const timeout = new Option('--timeout <seconds>', 'deadline for the whole call').argParser(parseSeconds);

  addSshFlags(command.command('start <name>'))
    .description('make or start a cluster, until pods can be created')
    .option('--driver <name>', 'where it runs; auto is the best that works here', DEFAULT_DRIVER)
    .option('--kubernetes-version <version>', 'such as v1.36.3', DEFAULT_KUBERNETES_VERSION)
    .option('--nodes <n>', 'nodes on which pods run; 0 is a bare control plane', parseCount, 0)
    .option('--container-runtime <name>', 'runtime inside, for drivers that have one')
    .option('--control-planes <n>', 'control planes; the cluster goes on without one of three', parseCount)
    .option('--no-kubernetes', 'nodes in which only the container runtime runs')
    .option(
      '--addon <name|file>',
      `${ADDON_NAMES.join(', ')}, or a manifest, for a new cluster; may be repeated`,
      collect,
      [],
    )
    .option('--kubeconfig <file>', 'for --driver existing')
    .option('--context <name>', 'for --driver existing; its current context otherwise')
    .option('--yes', 'for --driver none: this host may be changed')
    .addOption(timeout)
    .addOption(json)
    .addOption(dryRun)
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci cluster start demo --nodes 2\n  export KUBECONFIG=$(mk-ci cluster kubeconfig demo --path)',
    )
    .action(async (name: string, flags: StartFlags) => {
      await start(name, flags, context);
    });
  for (const [verb, description] of [
    ['stop', 'end its processes, keep its data'],
    ['pause', 'freeze its processes where they are'],
    ['unpause', 'let a paused cluster go on'],
    ['delete', 'end and remove it; succeeds when there is none'],
  ] as const) {
    command
      .command(`${verb} <name>`)
      .description(description)
      .addOption(timeout)
      .addOption(json)
      .addOption(dryRun)
      .addHelpText('after', `\nExample:\n  mk-ci cluster ${verb} demo\n`)
      .action(async (name: string, flags: ActFlags) => {
        await act(verb, name, flags, context);
      });
  }
  command
    .command('status <name>')
    .description('state of a cluster and its components')
    .addOption(json)
    .addHelpText('after', '\nExample:\n  mk-ci cluster status demo --json\n')
    .action(async (name: string, flags: ActFlags) => {
      const status = await openClusters(context).status(name, context.signal);
      await context.stdout(flags.json === true ? print(status) : renderStatus(status));
    });
  command
    .command('list')
    .description('all clusters')
    .addOption(json)
    .addHelpText('after', '\nExample:\n  mk-ci cluster list --json\n')
    .action(async (flags: ActFlags) => {
      const clusters = await openClusters(context).list(context.signal);
      await context.stdout(flags.json === true ? print(clusters) : renderList(clusters));
    });
  command
    .command('kubeconfig <name>')
    .description('print the kubeconfig')
    .option('--path', 'print where it lies')
    .addOption(json)
    .addHelpText('after', '\nExample:\n  export KUBECONFIG=$(mk-ci cluster kubeconfig demo --path)\n')
    .action(async (name: string, flags: { readonly path?: boolean; readonly json?: boolean }) => {
      const { kubeconfig: path, kubernetesVersion } = await openClusters(context).status(name, context.signal);
      if (kubernetesVersion === NO_VERSION) throw kubernetesAbsent(name, 'kubeconfig');
      if (flags.json === true) await context.stdout(print({ name, path, kubeconfig: await readText(path) }));
      else await context.stdout(flags.path === true ? `${path}\n` : await readText(path));
    });
  command
    .command('logs <name>')
    .description('copy the logs, in the layout of kind export logs')
    .option('--out <folder>', 'where to', './<name>-logs')
    .addOption(json)
    .addHelpText('after', '\nExample:\n  mk-ci cluster logs demo --out _artifacts/demo\n')
    .action(async (name: string, flags: { readonly out: string; readonly json?: boolean }) => {
      const folder = resolve(context.cwd, flags.out === './<name>-logs' ? `${name}-logs` : flags.out);
      const manager = openClusters(context);
      await manager.status(name, context.signal);
      await manager.saveLogs(name, folder, context.signal);
      await context.stdout(flags.json === true ? print({ name, folder }) : `${folder}\n`);
    });
  command
    .command('exec <name> <command...>')
    .description('run a command with KUBECONFIG and PATH set')
    .addHelpText('after', '\nExample:\n  mk-ci cluster exec demo -- kubectl get pods -A')
    .action(async (name: string, argv: readonly string[]) => {
      await runInside(name, argv, context);
    });
  command.addCommand(
    buildSnapshotCommand(context, () =>
      createSnapshots({
        stateFolder: foldersOf(context.env).state,
        manager: openClusters(context),
        now: () => new Date(),
      }),
    ),
  );
  const open = (): ClusterNodesManager & ClusterManager => openClusters(context);
  command.addCommand(buildSshCommand(context, () => openClusters(context)));
  command.addCommand(buildCopyCommand(context, () => openClusters(context)));
  command.addCommand(buildUpgradeCommand(context, (flags) => callOptions(flags, context)));
  command.addCommand(buildNodeCommand(context, open, (flags) => callOptions(flags, context)));
  command.addCommand(buildImageCommand(context, open, (flags) => callOptions(flags, context)));
  return command;
}

interface ActFlags {
  readonly timeout?: number;
  readonly json?: boolean;
  readonly dryRun?: boolean;
}

interface StartFlags extends ActFlags, SshFlags {
  readonly driver: string;
  readonly kubernetesVersion: string;
  readonly nodes: number;
  readonly containerRuntime?: string;
  readonly addon: readonly string[];
  readonly controlPlanes?: number;
  readonly kubernetes: boolean;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly yes?: boolean;
}

async function specOf(name: string, flags: StartFlags, cwd: string): Promise<ClusterSpec> {
  const addons = await Promise.all(flags.addon.map(async (given) => await readAddon(given, cwd)));
  const given = {
    kubeconfig: flags.kubeconfig,
    context: flags.context,
    controlPlanes: flags.controlPlanes,
    addons: addons.length === 0 ? undefined : addons,
    noKubernetes: flags.kubernetes ? undefined : true,
    ...sshOptionsOf(flags, cwd),
  };
  const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return {
    name,
    driver: flags.driver,
    kubernetesVersion: flags.kubernetesVersion,
    nodes: flags.nodes,
    ...(flags.containerRuntime === undefined ? {} : { containerRuntime: flags.containerRuntime }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
  };
}

async function start(name: string, flags: StartFlags, context: CliContext): Promise<void> {
  const parts = openNodeParts(context);
  const manager = openClusters(context, { parts, isConfirmed: flags.yes === true });
  const state = await stateOrAbsent(manager, name, context.signal);
  const isAuto = flags.driver === AUTO_DRIVER;
  const asked = await specOf(name, flags, context.cwd);
  const specWith = (driver: string): ClusterSpec => ({ ...asked, driver });
  // A cluster that is there keeps its driver.
  const known = isAuto && state !== 'absent' ? (await manager.status(name, context.signal)).driver : flags.driver;
  if (flags.dryRun === true) {
    const spec = specWith(known === AUTO_DRIVER ? await pickDriver(context) : known);
    const health = await manager.check(spec.driver, context.signal, spec.options);
    const does =
      state === 'running' ? 'nothing' : state === 'absent' ? 'create' : state === 'paused' ? 'unpause' : 'start';
    const plan = { name, spec, state, does, usable: health.usable };
    await context.stdout(flags.json === true ? print(plan) : sayPlan(name, state, does));
    return;
  }
  const startWith = async (driver: string, onPhase?: (event: PhaseEvent) => void): Promise<RunningCluster> => {
    const spec = specWith(driver);
    if (state === 'absent') await prepareNodes(parts, spec, context);
    const options = callOptions(flags, context);
    return await manager.start(spec, {
      ...options,
      onPhase: (event) => {
        options.onPhase?.(event);
        onPhase?.(event);
      },
    });
  };
  const nodes = { nodeImage: parts.nodeImage, kubernetesVersions: [flags.kubernetesVersion] };
  const cluster =
    known === AUTO_DRIVER
      ? await startOnBest({
          pick: async (tried) => await pickDriver(context, { tried, nodes }),
          start: startWith,
          isLeft: async () => (await stateOrAbsent(manager, name, context.signal)) !== 'absent',
          log: context.log,
          signal: context.signal,
        })
      : await startWith(known);
  const status = await manager.status(name, context.signal);
  if (flags.json === true) await context.stdout(print(status));
  else if (cluster.server === '') context.stderr(`${name} runs; a shell in it: mk-ci cluster ssh ${name}\n`);
  else context.stderr(`${cluster.name} runs at ${cluster.server}; kubeconfig: ${cluster.kubeconfig}\n`);
}

async function act(
  verb: 'stop' | 'pause' | 'unpause' | 'delete',
  name: string,
  flags: ActFlags,
  context: CliContext,
): Promise<void> {
  const manager = openClusters(context);
  const before = await stateOrAbsent(manager, name, context.signal);
  const isDone = before === { stop: 'stopped', pause: 'paused', unpause: 'running', delete: 'absent' }[verb];
  if (flags.dryRun !== true) await manager[verb](name, callOptions(flags, context));
  const result = { name, before, does: isDone ? 'nothing' : verb, dryRun: flags.dryRun === true };
  if (flags.json === true) await context.stdout(print(result));
  else if (flags.dryRun === true) await context.stdout(sayPlan(name, before, result.does));
}

function sayPlan(name: string, state: string, does: string): string {
  return `${name}: ${state}, ${does === 'nothing' ? 'nothing to do' : `would ${does}`}\n`;
}

async function stateOrAbsent(manager: SeedableClusterManager, name: string, signal: AbortSignal): Promise<string> {
  try {
    return (await manager.status(name, signal)).state;
  } catch (error) {
    if (error instanceof MkCiError && error.code === 'K8S_CLUSTER_NOT_FOUND') return 'absent';
    throw error;
  }
}

/**
 * The command gets our own streams, so that it can read standard input and sees the terminal; its exit code becomes ours,
 * and a signal 128 + n. An interrupt from the terminal reaches it by itself, one sent to us alone is passed on.
 */
async function runInside(name: string, argv: readonly string[], context: CliContext): Promise<void> {
  const cluster = await openClusters(context).get(name, context.signal);
  const [program = '', ...args] = argv;
  const code = await runInForeground([program, ...args], {
    cwd: context.cwd,
    env: clusterEnvironment(cluster, context.env),
    signal: context.signal,
    killSignal: () => {
      const reason: unknown = context.signal.reason;
      return reason instanceof Interrupt ? reason.signalName : 'SIGTERM';
    },
  });
  context.exit(code);
}

function callOptions(flags: ActFlags, context: CliContext): ClusterCallOptions {
  return {
    signal: context.signal,
    ...(flags.timeout === undefined ? {} : { deadlineMs: flags.timeout * 1000 }),
    onPhase: (event) => {
      const line = renderPhase(event);
      if (line !== undefined) context.stderr(line);
    },
  };
}

/** One plain line when a phase ended. */
function renderPhase({ cluster, name, state, durationMs = 0, message }: PhaseEvent): string | undefined {
  if (state === 'started') return undefined;
  const seconds = `${(durationMs / 1000).toFixed(1)} s`;
  return state === 'ok'
    ? `${cluster}: ${name} (${seconds})\n`
    : `${cluster}: ${name} failed after ${seconds}: ${message ?? ''}\n`;
}

export function renderStatus(status: ClusterStatus): string {
  const facts = [
    ['name', status.name],
    ['state', status.state],
    ['driver', status.driver],
    ['kubernetes', status.kubernetesVersion],
    ['nodes', String(status.nodes)],
    ['server', status.server ?? '-'],
    ['kubeconfig', status.kubeconfig],
    ['created', status.createdAt],
    ...(status.runId === undefined ? [] : [['run', status.runId]]),
  ];
  const components = status.components.map(({ name, state, pid, restarts, message }) => [
    name,
    state,
    pid === undefined ? '-' : String(pid),
    String(restarts),
    message ?? '',
  ]);
  return `${table(facts)}${components.length === 0 ? '' : `\n${table([['COMPONENT', 'STATE', 'PID', 'RESTARTS', 'LAST END'], ...components])}`}`;
}

export function renderList(clusters: readonly ClusterStatus[]): string {
  if (clusters.length === 0) return 'no clusters\n';
  const rows = clusters.map(({ name, state, driver, kubernetesVersion, nodes, server }) => [
    name,
    state,
    driver,
    kubernetesVersion,
    String(nodes),
    server ?? '-',
  ]);
  return table([['NAME', 'STATE', 'DRIVER', 'KUBERNETES', 'NODES', 'SERVER'], ...rows]);
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

function print(data: unknown): string {
  return `${JSON.stringify(data, undefined, 2)}\n`;
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new MkCiError('K8S_KUBECONFIG', { message: path, cause: error });
  }
}

/** A name that is known, else a manifest in a file. @throws {MkCiError} `CLI_NO_INPUT` */
async function readAddon(given: string, cwd: string): Promise<AddonName | { readonly manifest: string }> {
  if (isAddonName(given)) return given;
  try {
    return { manifest: await readInput(resolve(cwd, given)) };
  } catch (error) {
    // What looks like a name was meant as one.
    if (!isMkCiError(error, 'CLI_NO_INPUT') || !/^[\w-]+$/.test(given)) throw error;
    throw new MkCiError('CLI_USAGE', {
      message: `no addon '${given}', and no such file`,
      advice: `Give ${ADDON_NAMES.join(', ')}, or the path of a manifest.`,
      cause: error,
    });
  }
}

/** @throws {MkCiError} `CLI_NO_INPUT` */
async function readInput(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new MkCiError('CLI_NO_INPUT', { message: path, cause: error });
  }
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

function parseCount(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw new MkCiError('CLI_USAGE', { message: `'${text}' is not a whole number` });
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (seconds > 0 && seconds <= 86_400) return seconds;
  throw new MkCiError('CLI_USAGE', { message: `'${text}' is not a time from 1 to 86400 seconds` });
}
