import { setTimeout as delay } from 'node:timers/promises';

import { MkCiError, isMkCiError, messageOf } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type {
  Architecture,
  Driver,
  DriverHealth,
  DriverProblem,
  Machine,
  MachineSpec,
  MachineSummary,
} from '../driver.js';
import { checkInotify, readInotifyHost } from '../inotify.js';
import { createContainerMachine } from './container-machine.js';
import { NOT_THERE, createEngine, outputOf } from './engine.js';
import type { EngineTraits } from './engines.js';
import { readContainerHostFacts, type ContainerHostFacts } from './host-facts.js';
import { stateOfContainer, type ContainerFacts, type NetworkFacts } from './inspect.js';
import { NODE_CONTROLLERS, judgeEngine, judgeRootless } from './judge-engine.js';
import {
  INOTIFY_LABEL,
  MACHINE_LABEL,
  NETWORK_LABEL,
  engineLabels,
  hasLabels,
  isMadeFrom,
  labelFilters,
  networkOf,
  readEngineLabels,
} from './labels.js';
import { decideRunMode, rejectedCapability, runArguments, type RunMode } from './plan-run.js';
import { candidateSubnets } from './subnets.js';

export interface ContainerDriverOptions {
  readonly traits: EngineTraits;
  readonly exec: Exec;
  /** @default the facts of this host */
  readonly readHost?: () => ContainerHostFacts;
  /** @default process.arch */
  readonly architecture?: string;
}

/** Time for an orderly end of systemd and all in it, before the engine kills. */
const STOP_SECONDS = 20;
const SUBNET_ATTEMPTS = 20;
/** A network that is being removed vanishes from below a new container, a port is taken: how often it is made anew. */
const RUN_ATTEMPTS = 5;
/** One refusal for each capability that an old engine does not know. */
const CAPABILITY_ATTEMPTS = 20;

/**
 * Machines as containers of an engine that is reached through its command line. What belongs to a machine, all with
 * its labels: the container, the volume `<name>-var` for `/var`, and the network that it shares with others.
 */
export function createContainerDriver(options: ContainerDriverOptions): Driver {
  const { traits, exec, readHost = readContainerHostFacts, architecture = process.arch } = options;
  const engine = createEngine({ traits, exec });
  /** Learned from refusals; the same for all containers. */
  const rejected = new Set<string>();
  let mode: Promise<RunMode> | undefined;

  const runMode = (signal: AbortSignal): Promise<RunMode> => {
    mode ??= engine.facts(signal).then((facts) => decideRunMode(traits, facts, readHost()));
    mode.catch(() => (mode = undefined));
    return mode;
  };
  const machineOf = (container: ContainerFacts): Machine =>
    createContainerMachine({ engine, exec, container, network: container.labels[NETWORK_LABEL] ?? '' });
  const find = async (name: string, signal: AbortSignal): Promise<ContainerFacts> => {
    const container = await engine.container(name, signal);
    if (container === undefined || readEngineLabels(container.labels) === undefined) {
      throw new MkCiError('DRV_MACHINE_NOT_FOUND', { message: `${name} (${traits.name})` });
    }
    return container;
  };

  // Looking and then making: docker gives one name to two networks when both are asked for at the same moment.
  let networkTurn: Promise<void> = Promise.resolve();
  const ensureNetwork = async (spec: MachineSpec, signal: AbortSignal): Promise<void> => {
    const turn = networkTurn.then(async () => {
      await makeNetwork(spec, signal);
    });
    networkTurn = turn.catch(() => undefined);
    await turn;
  };
  const makeNetwork = async (spec: MachineSpec, signal: AbortSignal): Promise<void> => {
    const name = networkOf(spec);
    const all = await engine.networks([], signal);
    const have = all.find((network) => network.name === name);
    if (have !== undefined) {
      if (readEngineLabels(have.labels) !== undefined) return;
      throw new MkCiError('DRV_MACHINE_EXISTS', { message: `network ${name} of ${traits.name}` });
    }
    const taken = [...readHost().routes, ...all.flatMap((network) => network.subnets), ...(spec.subnets ?? [])];
    let last = new MkCiError('DRV_FAILED', { message: 'no free subnet for a network' });
    for (const subnet of candidateSubnets(name, taken).slice(0, SUBNET_ATTEMPTS)) {
      try {
        await engine.createNetwork(name, subnet, engineLabels(spec), signal);
        return;
      } catch (error) {
        const said = outputOf(error);
        if (/already exists|already used by|name .* is used/i.test(said) && !/subnet|overlap|pool/i.test(said)) return; // by another machine of the cluster
        if (!/overlap|already (?:used|in use|being used)|conflict|pool/i.test(said)) throw error;
        if (isMkCiError(error)) last = error;
      }
    }
    throw last;
  };
  /** The last machine of a cluster removes it. Engines take it away from those that do not run, which then do not start. */
  const removeNetwork = async (network: NetworkFacts, signal: AbortSignal): Promise<void> => {
    const users = await engine.containers([`${NETWORK_LABEL}=${network.name}`], signal);
    if (users.length > 0) return;
    await engine.actUnless(
      ['network', 'rm', network[traits.networkKey]],
      new RegExp(`${NOT_THERE.source}|active endpoints|in use|being used|associated`, 'i'),
      signal,
    );
  };
  const removeAll = async (name: string, signal: AbortSignal): Promise<void> => {
    const [container, volume, networks] = await Promise.all([
      engine.container(name, signal),
      engine.volume(volumeOf(name), signal),
      engine.networks([MACHINE_LABEL], signal),
    ]);
    const isOurs = container !== undefined && readEngineLabels(container.labels) !== undefined;
    if (isOurs) {
      await engine.actUnless(
        ['rm', '--force', ...traits.removeFlags, '--volumes', name],
        new RegExp(`${NOT_THERE.source}|already in progress`, 'i'),
        signal,
      );
      await waitUntilGone(name, signal);
    }
    const used = isOurs ? container.labels[NETWORK_LABEL] : undefined;
    const unused = networks.filter(({ name: other, labels }) => other === used || labels[MACHINE_LABEL] === name);
    await Promise.all([
      // By name and by label: a foreign volume of this name is not ours to remove.
      ...(volume?.labels[MACHINE_LABEL] === name
        ? [engine.actUnless(['volume', 'rm', '--force', volume.name], NOT_THERE, signal)]
        : []),
      ...unused.map(async (network) => {
        await removeNetwork(network, signal);
      }),
    ]);
  };
  const waitUntilGone = async (name: string, signal: AbortSignal): Promise<void> => {
    for (let tries = 0; tries < 100 && (await engine.container(name, signal)) !== undefined; tries += 1) {
      await delay(100, undefined, { signal });
    }
  };

  const run = async (spec: MachineSpec, signal: AbortSignal): Promise<void> => {
    const plan = { spec, mode: await runMode(signal), volume: volumeOf(spec.name), rejected };
    let losses = 0;
    for (let attempt = 1; ; attempt += 1) {
      await ensureNetwork(spec, signal);
      if ((await engine.volume(plan.volume, signal)) === undefined) {
        await engine.createVolume(plan.volume, engineLabels(spec), signal);
      }
      try {
        await engine.act(runArguments(traits, plan).slice(1), signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        const said = outputOf(error);
        const unknown = rejectedCapability(said);
        if (unknown !== undefined && plan.mode.capabilities.includes(unknown) && attempt < CAPABILITY_ATTEMPTS) {
          rejected.add(unknown); // another machine may have learned it meanwhile: then it is only tried again
          continue;
        }
        const isNetworkGone = /network .*not found|unable to find network/i.test(said);
        // An engine without a daemon chooses ports before it takes them.
        const isPortTaken = /address already in use/i.test(said);
        losses += 1;
        if ((!isNetworkGone && !isPortTaken) || losses >= RUN_ATTEMPTS) throw error;
        await engine.actUnless(['rm', '--force', ...traits.removeFlags, '--volumes', spec.name], NOT_THERE, signal);
      }
    }
  };

  const checkWatches = async ({ id, labels }: ContainerFacts, signal: AbortSignal): Promise<void> => {
    const instancesOf = (of: ContainerFacts['labels']): number => Number(of[INOTIFY_LABEL]) || 0;
    if (instancesOf(labels) === 0) return;
    const [host, containers] = await Promise.all([readInotifyHost(), engine.containers([MACHINE_LABEL], signal)]);
    const nodes = containers
      .filter(({ status }) => status === 'running' || status === 'paused')
      .map((node) => ({ ...node, instances: instancesOf(node.labels) }));
    await checkInotify(id, nodes, host);
  };

  const create = async (spec: MachineSpec, signal: AbortSignal): Promise<Machine> => {
    signal.throwIfAborted();
    const have = await engine.container(spec.name, signal);
    if (have !== undefined) {
      if (!isMadeFrom(have.labels, spec)) {
        const whose =
          readEngineLabels(have.labels) === undefined ? 'of another program' : 'of another owner or configuration';
        throw new MkCiError('DRV_MACHINE_EXISTS', { message: `container ${spec.name} ${whose} (${traits.name})` });
      }
      if (stateOfContainer(have.status) !== 'broken') return await start(spec.name, signal);
      await removeAll(spec.name, signal); // an earlier start of it was interrupted
    }
    try {
      await run(spec, signal);
      const made = await find(spec.name, signal);
      await checkWatches(made, signal);
      return machineOf(made);
    } catch (error) {
      await removeAfter(error, spec, signal);
      throw error;
    }
  };
  const removeAfter = async (error: unknown, spec: MachineSpec, signal: AbortSignal): Promise<void> => {
    try {
      // The engine goes on with what a killed client had asked for: what appears late is removed too.
      const limit = AbortSignal.timeout(60_000);
      await removeAll(spec.name, limit);
      if (signal.aborted) {
        await delay(500);
        await removeAll(spec.name, limit);
      }
    } catch (second) {
      throw new MkCiError('DRV_FAILED', {
        message: `${messageOf(error)}; and container, volume or network of ${spec.name} could not be removed`,
        advice: 'Run mk-ci gc --yes.',
        cause: new AggregateError([error, second]),
      });
    }
  };

  const start = async (name: string, signal: AbortSignal): Promise<Machine> => {
    const container = await find(name, signal);
    if (container.status === 'paused') await engine.act(['unpause', name], signal);
    else if (container.status !== 'running') {
      await engine.act(['start', name], signal);
      try {
        await checkWatches(container, signal);
      } catch (error) {
        await engine.act(['kill', name], signal);
        throw error;
      }
    }
    return machineOf(await find(name, signal));
  };

  return {
    info: {
      name: traits.name,
      summary: traits.summary,
      machines: 'created',
      bootstrap: 'kubeadm',
      sharesKernel: true,
      maxMachines: 100,
      platforms: ['linux'],
      architectures: ['amd64', 'arm64'] satisfies Architecture[],
      containerRuntimes: ['containerd', 'docker', 'cri-o'],
      experimental: false,
    },
    check: async (signal) => await checkEngine(signal),
    images: { identify: async (reference, signal) => await engine.imageId(reference, signal), acceptsIdentity: true },
    machines: {
      create,
      start,
      attach: async (name, signal) => {
        const container = await find(name, signal);
        if (container.status !== 'running') {
          throw new MkCiError('DRV_FAILED', { message: `${name} does not run (${container.status})` });
        }
        return machineOf(container);
      },
      stop: async (name, signal) => {
        const { status } = await find(name, signal);
        if (status === 'paused') await engine.act(['unpause', name], signal);
        if (status === 'running' || status === 'paused') {
          await engine.act(['stop', '--time', String(STOP_SECONDS), name], signal);
        }
      },
      pause: async (name, signal) => {
        const { status } = await find(name, signal);
        if (status === 'running') await engine.act(['pause', name], signal);
      },
      unpause: async (name, signal) => {
        const { status } = await find(name, signal);
        if (status === 'paused') await engine.act(['unpause', name], signal);
      },
      remove: async (name, signal) => {
        await removeAll(name, signal);
      },
      list: async (wanted, signal) => {
        const filters = labelFilters(wanted);
        const [containers, volumes, networks] = await Promise.all([
          engine.containers(filters, signal),
          engine.volumes(filters, signal),
          engine.networks(filters, signal),
        ]);
        const found = new Map<string, MachineSummary>();
        for (const { name, status, labels } of containers) {
          const own = readEngineLabels(labels);
          if (own !== undefined && hasLabels(own, wanted)) {
            found.set(name, { name, state: stateOfContainer(status), labels: own });
          }
        }
        // Of a machine whose container is gone, volume or network may be left: they make it a broken one.
        const users = new Set(containers.map((container) => container.labels[NETWORK_LABEL]));
        for (const { labels } of [...volumes, ...networks.filter(({ name }) => !users.has(name))]) {
          const [name, own] = [labels[MACHINE_LABEL], readEngineLabels(labels)];
          if (name !== undefined && own !== undefined && hasLabels(own, wanted) && !found.has(name)) {
            found.set(name, { name, state: 'broken', labels: own });
          }
        }
        return [...found.values()];
      },
    },
  };

  async function checkEngine(signal: AbortSignal): Promise<DriverHealth> {
    signal.throwIfAborted();
    const word = traits.name.toUpperCase();
    if (process.platform !== 'linux' || (architecture !== 'x64' && architecture !== 'arm64')) {
      const problem = {
        reason: `DRV_${word}_PLATFORM`,
        message: 'nodes in containers need Linux on amd64 or arm64',
        fix: 'Use such a host, or the driver existing.',
      };
      return { usable: false, problems: [problem], facts: {} };
    }
    try {
      const facts = await engine.facts(signal);
      const host = readHost();
      const judged = judgeEngine(traits, facts, host);
      const { privileges, engineFlags } = decideRunMode(traits, facts, host);
      return {
        usable: !judged.some(({ isFatal }) => isFatal),
        problems: judged.map(({ problem }) => problem),
        facts: {
          version: facts.version,
          cgroups: host.cgroups,
          storage: facts.storageDriver,
          runtime: engineFlags[1] ?? facts.defaultRuntime,
          privileges: privileges === 'privileged' ? 'privileged' : 'list of capabilities',
          rootless: facts.isRootless ? 'yes' : 'no',
        },
      };
    } catch (error) {
      signal.throwIfAborted();
      return { usable: false, problems: [unreachable(traits, error, readHost())], facts: {} };
    }
  }
}

function volumeOf(name: string): string {
  return `${name}-var`;
}

function unreachable(traits: EngineTraits, error: unknown, host: ContainerHostFacts): DriverProblem {
  const word = traits.name.toUpperCase();
  const url = traits.installUrl;
  if (isMkCiError(error, 'HOST_MISSING_TOOL')) {
    return {
      reason: `DRV_${word}_NOT_FOUND`,
      message: `${traits.name} is not installed`,
      fix: `Install ${traits.name}.`,
      url,
    };
  }
  const message = messageOf(error);
  const missing = traits.missingParts.find(({ words }) => words.test(outputOf(error)));
  // What is missing is of no use where nodes can not run in any case.
  const rootless = missing?.isForRootless === true ? judgeRootless(traits, NODE_CONTROLLERS, host) : undefined;
  if (rootless !== undefined) return rootless;
  if (missing !== undefined) {
    return {
      reason: `DRV_${word}_${missing.reason}`,
      message: `${traits.name} ${missing.message}`,
      fix: missing.fix,
      url,
    };
  }
  if (/permission denied/i.test(message)) {
    return {
      reason: `DRV_${word}_PERMISSION`,
      message: `this user may not use ${traits.name}`,
      fix: `Add the user to the group ${traits.name} and log in again, or run as root.`,
      url,
    };
  }
  return {
    reason: `DRV_${word}_NOT_RUNNING`,
    message: `${traits.name} does not answer: ${message}`,
    fix: traits.hasDaemon
      ? `Start ${traits.name}, and check DOCKER_HOST when it is set.`
      : `Set right what it names until ${traits.name} info succeeds.`,
    url,
  };
}
