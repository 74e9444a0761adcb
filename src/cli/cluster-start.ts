import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { Command, Option } from 'commander';

import { DEFAULT_KUBERNETES_VERSION } from '../cluster/bundle/bundle.js';
import type { ClusterSpec, PhaseEvent, RunningCluster } from '../cluster/cluster.js';
import { ADDON_NAMES, isAddonName, type AddonName } from '../cluster/index.js';
import { AUTO_DRIVER, DEFAULT_DRIVER } from '../drivers/index.js';
import { MkCiError, isMkCiError } from '../errors.js';
import { startOnBest } from './auto-driver.js';
import { addOption } from './cluster-options.js';
import { callOptions, parseSeconds, printData, sayPlan, stateOrAbsent, type ActFlags } from './cluster-calls.js';
import { refreshMerged } from './cluster-kubeconfig.js';
import type { CliContext } from './command.js';
import { openClusters, openNodeParts, pickDriver, prepareNodes } from './compose.js';
import { addSshFlags, sshOptionsOf, type SshFlags } from './ssh-flags.js';

/** `mk-ci cluster start` */
export function buildStartCommand(context: CliContext): Command {
  return addSshFlags(new Command('start').argument('<name>'))
    .description('make a cluster, or start one that is there as it is, until pods can be created')
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
    .option(
      '--option <name=value>',
      'setting as under options in mk-ci.yaml, such as proxyMode=ipvs; may be repeated',
      addOption,
      {},
    )
    .option('--bridge <name>', 'for --driver qemu: a second network card, on a bridge of this host')
    .option('--network-socket <file>', 'for --driver qemu: the same at the socket of socket_vmnet or passt')
    .option('--kubeconfig <file>', 'for --driver existing')
    .option('--context <name>', 'for --driver existing; its current context otherwise')
    .option('--yes', 'for --driver none: this host may be changed')
    .addOption(new Option('--timeout <seconds>', 'deadline for the whole call').argParser(parseSeconds))
    .addOption(new Option('--json', 'print data'))
    .addOption(new Option('--dry-run', 'only say what would be done'))
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci cluster start demo --nodes 2\n  export KUBECONFIG=$(mk-ci cluster kubeconfig demo --path)',
    )
    .action(async (name: string, flags: StartFlags, command: Command) => {
      const isGiven = (flag: keyof StartFlags) => !['default', undefined].includes(command.getOptionValueSource(flag));
      await start(name, flags, isGiven, context);
    });
}

interface StartFlags extends ActFlags, SshFlags {
  readonly driver: string;
  readonly kubernetesVersion: string;
  readonly nodes: number;
  readonly containerRuntime?: string;
  readonly addon: readonly string[];
  readonly option: Readonly<Record<string, unknown>>;
  readonly controlPlanes?: number;
  readonly kubernetes: boolean;
  readonly bridge?: string;
  readonly networkSocket?: string;
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
    bridge: flags.bridge,
    networkSocket: flags.networkSocket && resolve(cwd, flags.networkSocket),
    ...sshOptionsOf(flags, cwd),
  };
  const flagged = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const options = { ...flags.option, ...flagged };
  return {
    name,
    driver: flags.driver,
    kubernetesVersion: flags.kubernetesVersion,
    nodes: flags.nodes,
    ...(flags.containerRuntime === undefined ? {} : { containerRuntime: flags.containerRuntime }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
  };
}

/**
 * What is wanted of a cluster that is there: it stays what it is, but for what was asked for by name, which the manager then
 * compares. Pure.
 */
export function keepSpec(
  have: ClusterSpec,
  asked: ClusterSpec,
  isGiven: (flag: keyof StartFlags) => boolean,
): ClusterSpec {
  const runtime = asked.containerRuntime ?? have.containerRuntime;
  const options = { ...have.options, ...asked.options };
  return {
    name: asked.name,
    // The best driver was chosen when it was made.
    driver: isGiven('driver') && asked.driver !== AUTO_DRIVER ? asked.driver : have.driver,
    kubernetesVersion: isGiven('kubernetesVersion') ? asked.kubernetesVersion : have.kubernetesVersion,
    nodes: isGiven('nodes') ? asked.nodes : have.nodes,
    ...(runtime === undefined ? {} : { containerRuntime: runtime }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
  };
}

/**
 * A spec as it is printed. Manifests of addons may hold secrets: of a cluster that is there only those options are repeated that
 * were asked for. Pure.
 */
export function showSpec({ options: _, ...rest }: ClusterSpec, asked: Pick<ClusterSpec, 'options'>): ClusterSpec {
  return { ...rest, ...(asked.options === undefined ? {} : { options: asked.options }) };
}

async function start(
  name: string,
  flags: StartFlags,
  isGiven: (flag: keyof StartFlags) => boolean,
  context: CliContext,
): Promise<void> {
  const parts = openNodeParts(context);
  const manager = openClusters(context, { parts, isConfirmed: flags.yes === true });
  const state = await stateOrAbsent(manager, name, context.signal);
  const asked = await specOf(name, flags, context.cwd);
  const have = await manager.specOf(name);
  const wanted = have === undefined ? asked : keepSpec(have, asked, isGiven);
  const specWith = (driver: string): ClusterSpec => ({ ...wanted, driver });
  const known = wanted.driver;
  if (flags.dryRun === true) {
    const spec = specWith(known === AUTO_DRIVER ? await pickDriver(context) : known);
    manager.validate(spec);
    const health = await manager.check(spec.driver, context.signal, spec.options);
    const does =
      state === 'running' ? 'nothing' : state === 'absent' ? 'create' : state === 'paused' ? 'unpause' : 'start';
    const plan = { name, spec: showSpec(spec, asked), state, does, usable: health.usable };
    await context.stdout(flags.json === true ? printData(plan) : sayPlan(name, state, does));
    return;
  }
  // Before anything is got for it, which may take minutes.
  if (known !== AUTO_DRIVER) manager.validate(wanted);
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
  const nodes = { nodeImage: parts.nodeImage, kubernetesVersions: [wanted.kubernetesVersion] };
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
  if (cluster.server !== '') await refreshMerged(name, cluster.kubeconfig, context);
  const status = await manager.status(name, context.signal);
  if (flags.json === true) await context.stdout(printData(status));
  else if (cluster.server === '') context.stderr(`${name} runs; a shell in it: mk-ci cluster ssh ${name}\n`);
  else context.stderr(`${cluster.name} runs at ${cluster.server}; kubeconfig: ${cluster.kubeconfig}\n`);
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
