import { Command, InvalidArgumentError, Option } from 'commander';

import type { ClusterCallOptions, ClusterManager } from '../cluster/cluster.js';
import type { ClusterNodesManager } from '../cluster/index.js';
import type { CliContext } from './command.js';

const NODE = /^node /;

interface AddFlags {
  readonly count: number;
  readonly controlPlane?: boolean;
  readonly json: boolean;
}

/** `mk-ci cluster node …`; `open` is called when one of its commands runs. */
export function buildNodeCommand(
  context: CliContext,
  open: () => ClusterNodesManager & ClusterManager,
  callOptions: (flags: { readonly timeout?: number }) => ClusterCallOptions,
): Command {
  const node = new Command('node')
    .summary('add and remove nodes of a running cluster')
    .addHelpText('after', '\nExample:\n  mk-ci cluster node add demo\n  mk-ci cluster node delete demo worker-1');
  const json = new Option('--json', 'print data').default(false);
  node
    .command('add <cluster>')
    .description('add nodes and wait until they are Ready')
    .addHelpText('after', '\nExample:\n  mk-ci cluster node add demo --count 2\n')
    .option('--count <n>', 'how many', parsePositive, 1)
    .option('--control-plane', 'control planes in place of workers')
    .addOption(json)
    .action(async (cluster: string, flags: AddFlags) => {
      const kind = flags.controlPlane === true ? 'control-plane' : 'worker';
      const names = await open().addNodes(cluster, flags.count, { ...callOptions({}), kind });
      await context.stdout(flags.json ? `${JSON.stringify(names)}\n` : names.map((name) => `${name}\n`).join(''));
    });
  node
    .command('delete <cluster> <node>')
    .description('move the pods of a node to other nodes and remove it; succeeds when there is none')
    .addHelpText('after', '\nExample:\n  mk-ci cluster node delete demo worker-1\n')
    .action(async (cluster: string, name: string) => {
      await open().deleteNode(cluster, name, callOptions({}));
    });
  node
    .command('list <cluster>')
    .description('list the nodes')
    .addHelpText('after', '\nExample:\n  mk-ci cluster node list demo --json\n')
    .addOption(json)
    .action(async (cluster: string, flags: { readonly json: boolean }) => {
      const { components } = await open().status(cluster, context.signal);
      const nodes = components
        .filter(({ name }) => NODE.test(name))
        .map(({ name, state, message = '' }) => ({ name: name.replace(NODE, ''), state, machine: message }));
      const lines = nodes.map(({ name, state, machine }) => `${name.padEnd(16)}  ${state.padEnd(8)}  ${machine}\n`);
      await context.stdout(flags.json ? `${JSON.stringify(nodes, undefined, 2)}\n` : lines.join(''));
    });
  return node;
}

function parsePositive(text: string): number {
  if (/^[1-9]\d?$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a number from 1 to 99');
}
