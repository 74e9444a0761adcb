import type { Argv } from '../../exec.js';
import type { MachineSpec } from '../driver.js';
import type { EngineTraits } from './engines.js';
import { CAPABILITIES, hasCapability, isFullSet, type ContainerHostFacts } from './host-facts.js';
import type { EngineFacts } from './judge-engine.js';
import { engineLabels, networkOf } from './labels.js';

/** How nodes are run here: decided once from what host and engine allow, see {@link decideRunMode}. */
export interface RunMode {
  /** `capabilities`: an explicit list, because the engine refuses `--privileged` where one is missing. */
  readonly privileges: 'privileged' | 'capabilities';
  readonly capabilities: readonly string[];
  /** Options of the engine itself, before its command. */
  readonly engineFlags: readonly string[];
  /** Options of `run` that depend on host and engine only. */
  readonly runFlags: readonly string[];
}

export function decideRunMode(traits: EngineTraits, engine: EngineFacts, host: ContainerHostFacts): RunMode {
  const isPrivileged = traits.privilegedIsBounded || engine.isRootless || isFullSet(host);
  const isOldCgroup = host.cgroups === 'v1' || host.cgroups === 'hybrid';
  const wantsRuntime = isOldCgroup ? traits.cgroupV1Runtime : undefined;
  return {
    privileges: isPrivileged ? 'privileged' : 'capabilities',
    capabilities: isPrivileged
      ? []
      : CAPABILITIES.filter((name, index) => index <= host.lastCapability && hasCapability(host.boundingSet, name)),
    engineFlags:
      wantsRuntime === undefined || engine.defaultRuntime === wantsRuntime ? [] : ['--runtime', wantsRuntime],
    runFlags: [
      ...(host.hasKmsg ? ['--device', '/dev/kmsg'] : []),
      ...(host.hasModules ? ['--volume', '/lib/modules:/lib/modules:ro'] : []),
      ...(traits.systemdFlag === undefined ? [] : [traits.systemdFlag]),
      ...(traits.setsOwnLimits ? ['--ulimit', limitFlag('nofile', host.openFiles, 1_048_576)] : []),
      // Podman lowers its own hard limit before it starts the runtime, which then may not set more.
      ...(traits.setsOwnLimits ? ['--ulimit', limitFlag('nproc', host.processes, 32_000)] : []),
      // Its own 2048 for a container are too few threads for the pods of a node.
      ...(traits.setsOwnLimits ? ['--pids-limit', '-1'] : []),
    ],
  };
}

function limitFlag(name: string, hard: number, most: number): string {
  const limit = Math.min(hard, most);
  return `${name}=${limit}:${limit}`;
}

export interface RunPlan {
  readonly spec: MachineSpec;
  readonly mode: RunMode;
  readonly volume: string;
  /** Capabilities that this engine does not know. */
  readonly rejected: ReadonlySet<string>;
}

/**
 * Makes the cgroup trees writable, which the engine mounts read-only for containers that are not privileged, then
 * becomes systemd. The node has a cgroup namespace of its own: what it makes lies below its container's group, within its
 * limits, is frozen with it and goes with it.
 */
const ENTRY_SCRIPT =
  'for m in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -d "$m" ] && mountpoint -q "$m" && mount -o remount,bind,rw "$m"; done; ' +
  'mount --make-rshared / ; exec /sbin/init';

/** Arguments for making and starting the container of a node, from the engine's name on. */
export function runArguments(traits: EngineTraits, { spec, mode, volume, rejected }: RunPlan): Argv {
  const pairs = (flag: string, values: readonly string[]): string[] => values.flatMap((value) => [flag, value]);
  const { memoryMiB, cpus } = spec;
  return [
    traits.name,
    ...mode.engineFlags,
    'run',
    '--detach',
    '--name',
    spec.name,
    '--hostname',
    spec.name,
    ...pairs(
      '--label',
      Object.entries(engineLabels(spec)).map(([key, value]) => `${key}=${value}`),
    ),
    '--network',
    networkOf(spec),
    ...(mode.privileges === 'privileged'
      ? ['--privileged']
      : pairs(
          '--cap-add',
          mode.capabilities.filter((name) => !rejected.has(name)),
        )),
    ...pairs(
      '--security-opt',
      mode.privileges === 'privileged' ? [] : ['seccomp=unconfined', 'apparmor=unconfined', 'systempaths=unconfined'],
    ),
    ...(mode.privileges === 'privileged' ? [] : ['--device-cgroup-rule', 'a *:* rwm']),
    '--cgroupns',
    'private',
    ...mode.runFlags,
    '--tmpfs',
    '/run',
    '--tmpfs',
    '/tmp:exec,mode=1777',
    '--volume',
    `${volume}:/var`,
    '--env',
    `container=${traits.name}`,
    '--stop-signal',
    'SIGRTMIN+3',
    ...(memoryMiB === undefined ? [] : ['--memory', `${memoryMiB}m`, '--memory-swap', `${memoryMiB}m`]),
    ...(cpus === undefined ? [] : ['--cpus', String(cpus)]),
    ...pairs(
      '--publish',
      (spec.publishedPorts ?? []).map((port) => `127.0.0.1::${port}`),
    ),
    '--entrypoint',
    '/bin/sh',
    spec.image ?? '',
    '-c',
    ENTRY_SCRIPT,
  ];
}

/** Name of a capability that an engine does not know, from its message; `undefined` for another message. */
export function rejectedCapability(message: string): string | undefined {
  return /(?:unknown|invalid) capability:? "?(?:CAP_)?([A-Z_]+)"?/i.exec(message)?.[1];
}
