import { Command } from 'commander';

import type { ClusterCallOptions } from '../cluster/cluster.js';
import type { SnapshotInfo, Snapshots } from '../cluster/snapshots/index.js';
import type { CliContext } from './command.js';

/** `mk-ci cluster snapshot …`; `open` is called when one of its commands runs. */
export function buildSnapshotCommand(context: CliContext, open: () => Snapshots): Command {
  const options: ClusterCallOptions = { signal: context.signal };
  const snapshot = new Command('snapshot')
    .summary('save and restore the state of a cluster')
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci cluster snapshot save demo clean\n  mk-ci cluster snapshot restore demo clean',
    );
  snapshot
    .command('save <cluster> <snapshot>')
    .description('copy the state of a cluster, running or not')
    .option('--json', 'print data', false)
    .action(async (cluster: string, name: string, flags: { readonly json: boolean }) => {
      const info = await open().save(cluster, name, options);
      await context.stdout(flags.json ? `${JSON.stringify(info)}\n` : `${info.name}\n`);
    });
  snapshot
    .command('restore <cluster> <snapshot>')
    .description('put the state back; a running cluster is started anew with it')
    .action(async (cluster: string, name: string) => {
      await open().restore(cluster, name, options);
      context.stderr(`cluster ${cluster} has the state of snapshot ${name}\n`);
    });
  snapshot
    .command('list <cluster>')
    .description('list the snapshots of a cluster, oldest first')
    .option('--json', 'print data', false)
    .action(async (cluster: string, flags: { readonly json: boolean }) => {
      const infos = await open().list(cluster, context.signal);
      await context.stdout(flags.json ? `${JSON.stringify(infos, undefined, 2)}\n` : infos.map(renderInfo).join(''));
    });
  snapshot
    .command('delete <cluster> <snapshot>')
    .description('delete a snapshot; succeeds when there is none')
    .action(async (cluster: string, name: string) => {
      await open().delete(cluster, name);
    });
  return snapshot;
}

function renderInfo({ name, createdAt, kubernetesVersion, problem }: SnapshotInfo): string {
  return problem === undefined
    ? `${name.padEnd(24)}${createdAt ?? ''}  ${kubernetesVersion ?? ''}\n`
    : `${name.padEnd(24)}damaged: ${problem}\n`;
}
