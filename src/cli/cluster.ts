import { resolve } from 'node:path';

import { Command, Option } from 'commander';

import type { ClusterManager, ClusterStatus } from '../cluster/cluster.js';
import { clusterEnvironment, type ClusterNodesManager } from '../cluster/index.js';
import { createSnapshots } from '../cluster/snapshots/index.js';
import { foldersOf } from '../files.js';
import { runInForeground } from '../foreground.js';
import { callOptions, parseSeconds, printData, sayPlan, stateOrAbsent, type ActFlags } from './cluster-calls.js';
import { buildCopyCommand, buildSshCommand } from './cluster-files.js';
import { buildImageCommand } from './cluster-image.js';
import { buildKubeconfigCommand, findMerged, unmergeAll } from './cluster-kubeconfig.js';
import { buildNodeCommand } from './cluster-node.js';
import { buildSnapshotCommand } from './cluster-snapshot.js';
import { buildStartCommand } from './cluster-start.js';
import { buildUpgradeCommand } from './cluster-upgrade.js';
import { Interrupt, type CliContext } from './command.js';
import { openClusters } from './compose.js';

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

  command.addCommand(buildStartCommand(context));
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
      await context.stdout(flags.json === true ? printData(status) : renderStatus(status));
    });
  command
    .command('list')
    .description('all clusters')
    .addOption(json)
    .addHelpText('after', '\nExample:\n  mk-ci cluster list --json\n')
    .action(async (flags: ActFlags) => {
      const clusters = await openClusters(context).list(context.signal);
      await context.stdout(flags.json === true ? printData(clusters) : renderList(clusters));
    });
  command.addCommand(buildKubeconfigCommand(context, () => openClusters(context)));
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
      await context.stdout(flags.json === true ? printData({ name, folder }) : `${folder}\n`);
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

async function act(
  verb: 'stop' | 'pause' | 'unpause' | 'delete',
  name: string,
  flags: ActFlags,
  context: CliContext,
): Promise<void> {
  const manager = openClusters(context);
  const before = await stateOrAbsent(manager, name, context.signal);
  const isDone = before === { stop: 'stopped', pause: 'paused', unpause: 'running', delete: 'absent' }[verb];
  const merged = verb === 'delete' ? await findMerged(name, context) : [];
  if (flags.dryRun !== true) {
    await manager[verb](name, callOptions(flags, context));
    await unmergeAll(name, merged, context);
  }
  const result = { name, before, does: isDone ? 'nothing' : verb, dryRun: flags.dryRun === true };
  if (flags.json === true) await context.stdout(printData(result));
  else if (flags.dryRun === true) await context.stdout(sayPlan(name, before, result.does));
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
  return `${table(facts)}${components.length === 0 ? '' : `\n${table([['COMPONENT', 'STATE', 'PID', 'RESTARTS', 'NOTE'], ...components])}`}`;
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
