import { Command, Option } from 'commander';

import type { ClusterCallOptions } from '../cluster/cluster.js';
import type { SnapshotInfo, Snapshots } from '../cluster/snapshots/index.js';
import { MkCiError, isMkCiError } from '../errors.js';
import type { CliContext } from './command.js';

interface ActFlags {
  readonly json?: boolean;
  readonly dryRun?: boolean;
}

/** `mk-ci cluster snapshot …`; `open` is called when one of its commands runs. */
export function buildSnapshotCommand(context: CliContext, open: () => Snapshots): Command {
  const options: ClusterCallOptions = { signal: context.signal };
  const json = new Option('--json', 'print data');
  const dryRun = new Option('--dry-run', 'only say what would be done');
  const print = async (data: unknown): Promise<void> => {
    await context.stdout(`${JSON.stringify(data, undefined, 2)}\n`);
  };
  const find = async (cluster: string, name: string): Promise<SnapshotInfo | undefined> =>
    (await open().list(cluster, context.signal)).find((info) => info.name === name);
  /** Says what would be done. */
  const plan = async (
    flags: ActFlags,
    about: { readonly cluster: string; readonly snapshot: string; readonly does: string },
  ): Promise<void> => {
    if (flags.json === true) await print({ ...about, dryRun: true });
    else await context.stdout(`${about.cluster}: would ${about.does} ${about.snapshot}\n`);
  };

  const snapshot = new Command('snapshot')
    .description('save and restore the state of a cluster')
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci cluster snapshot save demo clean\n  mk-ci cluster snapshot restore demo clean',
    );
  snapshot
    .command('save <cluster> <snapshot>')
    .description('copy the state of a cluster, running or not')
    .addOption(json)
    .addOption(dryRun)
    .addHelpText('after', '\nExample:\n  mk-ci cluster snapshot save demo clean\n')
    .action(async (cluster: string, name: string, flags: ActFlags) => {
      if (flags.dryRun === true) {
        const does = (await find(cluster, name)) === undefined ? 'save' : 'refuse to replace';
        await plan(flags, { cluster, snapshot: name, does });
        return;
      }
      const info = await open().save(cluster, name, options);
      if (flags.json === true) await print(info);
      else await context.stdout(`${info.name}\n`);
    });
  snapshot
    .command('restore <cluster> <snapshot>')
    .description('put the state back; a running cluster is started anew with it')
    .addOption(json)
    .addOption(dryRun)
    .addHelpText('after', '\nExample:\n  mk-ci cluster snapshot restore demo clean\n')
    .action(async (cluster: string, name: string, flags: ActFlags) => {
      if (flags.dryRun === true) {
        if ((await find(cluster, name)) === undefined) {
          throw new MkCiError('K8S_SNAPSHOT_NOT_FOUND', { message: `${name} of cluster ${cluster}` });
        }
        await plan(flags, { cluster, snapshot: name, does: 'restore' });
        return;
      }
      await open().restore(cluster, name, options);
      if (flags.json === true) await print({ cluster, snapshot: name, does: 'restore', dryRun: false });
      else context.stderr(`cluster ${cluster} has the state of snapshot ${name}\n`);
    });
  snapshot
    .command('list <cluster>')
    .description('list the snapshots of a cluster, oldest first')
    .addOption(json)
    .addHelpText('after', '\nExample:\n  mk-ci cluster snapshot list demo --json\n')
    .action(async (cluster: string, flags: ActFlags) => {
      const infos = await open().list(cluster, context.signal);
      if (flags.json === true) await print(infos);
      else await context.stdout(infos.map(renderInfo).join(''));
    });
  snapshot
    .command('delete <cluster> <snapshot>')
    .description('delete a snapshot; succeeds when there is none')
    .addOption(json)
    .addOption(dryRun)
    .addHelpText('after', '\nExample:\n  mk-ci cluster snapshot delete demo clean\n')
    .action(async (cluster: string, name: string, flags: ActFlags) => {
      const known = await find(cluster, name).catch((error: unknown) => {
        if (isMkCiError(error, 'K8S_CLUSTER_NOT_FOUND')) return undefined;
        throw error;
      });
      const does = known === undefined ? 'nothing' : 'delete';
      if (flags.dryRun === true) {
        if (does === 'nothing' && flags.json !== true) await context.stdout(`${cluster}: nothing to do\n`);
        else await plan(flags, { cluster, snapshot: name, does });
        return;
      }
      await open().delete(cluster, name);
      if (flags.json === true) await print({ cluster, snapshot: name, does, dryRun: false });
    });
  return snapshot;
}

function renderInfo({ name, createdAt, kubernetesVersion, problem }: SnapshotInfo): string {
  return problem === undefined
    ? `${name.padEnd(24)}${createdAt ?? ''}  ${kubernetesVersion ?? ''}\n`
    : `${name.padEnd(24)}damaged: ${problem}\n`;
}
