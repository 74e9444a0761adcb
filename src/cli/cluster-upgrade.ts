import { Command, Option } from 'commander';

import type { ClusterCallOptions, ClusterManager } from '../cluster/cluster.js';
import type { ClusterUpgradeManager } from '../cluster/index.js';
import { MkCiError } from '../errors.js';
import { parseSeconds } from './cluster-calls.js';
import type { CliContext } from './command.js';
import { openClusters, openNodeParts, prepareNodes } from './compose.js';

interface UpgradeFlags {
  readonly kubernetesVersion?: string;
  readonly undo?: boolean;
  readonly drainTimeout?: number;
  readonly timeout?: number;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** What the command needs of the outside. */
export interface UpgradeDependencies {
  readonly manager: ClusterUpgradeManager & Pick<ClusterManager, 'status'>;
  /** Gets node images of a version before the deadline begins. */
  readonly prepare: (driver: string, kubernetesVersion: string) => Promise<void>;
}

/** `mk-ci cluster upgrade …` */
export function buildUpgradeCommand(
  context: CliContext,
  callOptions: (flags: { readonly timeout?: number }) => ClusterCallOptions,
  open: () => UpgradeDependencies = () => openDependencies(context),
): Command {
  return new Command('upgrade')
    .argument('<cluster>')
    .description('take a running cluster to a later version with kubeadm, node by node; it is set back when that fails')
    .option('--kubernetes-version <version>', 'such as v1.36.3; the next minor version at most')
    .option('--undo', 'take the last upgrade back, with all that happened in the cluster since')
    .addOption(
      new Option('--drain-timeout <seconds>', 'for the pods of a node to leave it; 240 by default').argParser(
        parseSeconds,
      ),
    )
    .addOption(new Option('--timeout <seconds>', 'deadline for the whole call').argParser(parseSeconds))
    .addOption(new Option('--json', 'print data'))
    .addOption(new Option('--dry-run', 'only say what would be done'))
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci cluster upgrade demo --kubernetes-version v1.36.3\n  mk-ci cluster upgrade demo --undo\n',
    )
    .action(async (name: string, flags: UpgradeFlags) => {
      const { kubernetesVersion: version } = flags;
      if ((version === undefined) === (flags.undo !== true)) {
        throw new MkCiError('CLI_USAGE', {
          message: version === undefined ? 'a version is missing' : '--undo takes no version',
          advice: `Run mk-ci cluster upgrade ${name} --kubernetes-version VERSION, or mk-ci cluster upgrade ${name} --undo.`,
        });
      }
      const { manager, prepare } = open();
      const { driver, kubernetesVersion: from } = await manager.status(name, context.signal);
      if (version === undefined) {
        const to = await manager.planUndo(name);
        if (flags.dryRun !== true) await manager.undoUpgrade(name, callOptions(flags));
        await say({ name, from, to, does: 'undo', dryRun: flags.dryRun === true }, flags, context);
        return;
      }
      const plan = { name, ...(await manager.planUpgrade(name, version)), dryRun: flags.dryRun === true };
      if (flags.dryRun !== true && plan.does === 'upgrade') {
        await prepare(driver, version);
        const { drainTimeout } = flags;
        const drain = drainTimeout === undefined ? {} : { drainSeconds: Math.ceil(drainTimeout) };
        await manager.upgrade(name, version, { ...callOptions(flags), ...drain });
      }
      await say(plan, flags, context);
    });
}

interface Outcome {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly does: 'upgrade' | 'undo' | 'nothing';
  readonly dryRun: boolean;
}

async function say(outcome: Outcome, { json }: UpgradeFlags, context: CliContext): Promise<void> {
  const { name, from, to, does, dryRun } = outcome;
  if (json === true) await context.stdout(`${JSON.stringify(outcome, undefined, 2)}\n`);
  else if (does === 'nothing') context.stderr(`${name} has ${to}: nothing to do\n`);
  else if (dryRun) await context.stdout(`${name}: ${from}, would ${does === 'undo' ? 'go back' : does} to ${to}\n`);
  else context.stderr(`${name} has ${to} now; it had ${from}\n`);
}

function openDependencies(context: CliContext): UpgradeDependencies {
  const parts = openNodeParts(context);
  return {
    manager: openClusters(context, { parts }),
    prepare: async (driver, kubernetesVersion) => {
      await prepareNodes(parts, { driver, kubernetesVersion }, context);
    },
  };
}
