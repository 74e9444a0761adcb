import type { Argv } from '../../exec.js';
import type { DriverProblem, MachineSpec } from '../driver.js';
import type { EngineTraits } from './engines.js';
import { CAPABILITIES, NETWORK_PLUGINS, hasCapability, isFullSet, type ContainerHostFacts } from './host-facts.js';
import { engineLabels, networkOf } from './labels.js';

/** What the engine says of itself. */
export interface EngineFacts {
  /** Of the daemon, or of the program where there is none. */
  readonly version: string;
  readonly isRootless: boolean;
  /** 1 or 2, as the engine uses it. */
  readonly cgroupVersion: string;
  readonly storageDriver: string;
  readonly defaultRuntime: string;
  readonly runtimes: readonly string[];
  /** What makes its networks, where that is programs of the host: `cni`, `netavark`. */
  readonly networkBackend?: string;
  /** How many ids of users it can give to containers, where these are not all. */
  readonly userIds?: number;
}

/** With one of which each of them publishes ports. */
const FIREWALLS: Readonly<Record<string, readonly string[]>> = { cni: ['iptables'], netavark: ['iptables', 'nft'] };
/** systemd and its services, and the users that packages make. */
const NODE_USER_IDS = 65_536;

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

/** What stands in the way of nodes, and what limits them. `isFatal` when no node can run. */
export function judgeEngine(
  traits: EngineTraits,
  engine: EngineFacts,
  host: ContainerHostFacts,
): { readonly problem: DriverProblem; readonly isFatal: boolean }[] {
  const found: { problem: DriverProblem; isFatal: boolean }[] = [];
  const word = traits.name.toUpperCase();
  const add = (isFatal: boolean, reason: string, message: string, fix: string): void => {
    found.push({ isFatal, problem: { reason: `DRV_${word}_${reason}`, message, fix, url: traits.installUrl } });
  };
  const [major = 0, minor = 0] = engine.version.split('.').map(Number);
  const [minMajor, minMinor] = traits.minVersion;
  if (major < minMajor || (major === minMajor && minor < minMinor)) {
    add(
      true,
      'VERSION',
      `${traits.name} ${engine.version} is too old`,
      `Update it to ${traits.minVersion.join('.')} or later.`,
    );
  }
  if (host.cgroups === 'unknown') {
    add(true, 'CGROUPS', 'no cgroup tree is mounted on /sys/fs/cgroup', 'Mount it, or use the driver local.');
  }
  const { userIds = Infinity, networkBackend } = engine;
  if (engine.isRootless && userIds < NODE_USER_IDS) {
    add(
      true,
      'ROOTLESS_IDS',
      `${userIds} ids of users are not enough for a node`,
      `Install uidmap and give the user ${NODE_USER_IDS} ids in /etc/subuid and /etc/subgid, or run ${traits.name} as root.`,
    );
  }
  if (engine.isRootless) {
    if (host.cgroups !== 'v2') {
      add(true, 'ROOTLESS', 'a rootless engine needs version 2 of cgroups', `Run ${traits.name} as root.`);
    } else {
      add(
        false,
        'ROOTLESS',
        'the engine is rootless: nodes work where cgroups are delegated to the user',
        'Delegate cpu, memory and pids to the user session, or run the engine as root.',
      );
    }
  }
  const isOldCgroup = host.cgroups === 'v1' || host.cgroups === 'hybrid';
  const wanted = isOldCgroup ? traits.cgroupV1Runtime : undefined;
  if (wanted !== undefined && !engine.runtimes.includes(wanted)) {
    const other = engine.defaultRuntime === '' ? '' : ` (${engine.defaultRuntime} can not run nodes there)`;
    add(true, 'RUNTIME', `version 1 of cgroups needs ${wanted}, which is not installed${other}`, `Install ${wanted}.`);
  } else if (engine.runtimes.length === 0) {
    add(true, 'RUNTIME', `${traits.name} has no OCI runtime that starts`, 'Install crun or runc.');
  }
  const missingPlugins = NETWORK_PLUGINS.filter((plugin) => !host.networkPlugins.includes(plugin));
  if (networkBackend === 'cni' && missingPlugins.length > 0) {
    add(
      true,
      'NETWORK',
      `programs that make networks are missing: ${missingPlugins.join(', ')}`,
      'Install containernetworking-plugins, or netavark.',
    );
  }
  const firewalls = FIREWALLS[networkBackend ?? ''] ?? [];
  if (firewalls.length > 0 && !firewalls.some((program) => host.firewallPrograms.includes(program))) {
    add(true, 'FIREWALL', `${firewalls.join(' or ')} is not installed: no port can be published`, 'Install iptables.');
  }
  if (!engine.isRootless && !hasCapability(host.boundingSet, 'SYS_ADMIN')) {
    add(
      true,
      'SYS_ADMIN',
      'the capability SYS_ADMIN is missing: nothing can be mounted in a node',
      'Run on a host, or in a container, with this capability.',
    );
  }
  const missing = CAPABILITIES.filter(
    (name, index) => index <= host.lastCapability && !hasCapability(host.boundingSet, name),
  );
  if (!engine.isRootless && missing.length > 0 && !missing.includes('SYS_ADMIN')) {
    add(
      false,
      'CAPABILITIES',
      `capabilities are missing on this host: ${missing.join(', ')}`,
      'Nothing has to be done: nodes are configured for it.',
    );
  }
  return found;
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
