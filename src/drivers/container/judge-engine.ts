import type { DriverProblem } from '../driver.js';
import type { EngineTraits } from './engines.js';
import { CAPABILITIES, NETWORK_PLUGINS, hasCapability, type ContainerHostFacts } from './host-facts.js';

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
  /** Controllers of cgroups with which it can bound containers. Those of a rootless engine are what the user was given. */
  readonly controllers?: readonly string[];
}

/** With one of which each of them publishes ports. */
const FIREWALLS: Readonly<Record<string, readonly string[]>> = { cni: ['iptables'], netavark: ['iptables', 'nft'] };
/** systemd and its services, and the users that packages make. */
const NODE_USER_IDS = 65_536;
/** With which a kubelet bounds its pods. */
export const NODE_CONTROLLERS = ['cpu', 'memory', 'pids'] as const;
const NEVER_ROOTLESS =
  'the engine is rootless, and all that it needs was delegated; nobody has run a cluster that way yet';
const DELEGATION_URL = 'https://rootlesscontaine.rs/getting-started/common/cgroup2/';

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
  if (engine.isRootless) {
    const rootless = judgeRootless(traits, engine.controllers ?? [], host);
    if (rootless !== undefined) found.push({ isFatal: true, problem: rootless });
    else add(false, 'ROOTLESS', NEVER_ROOTLESS, `Run ${traits.name} as root where a start fails.`);
  }
  const { userIds = Infinity, networkBackend } = engine;
  if (engine.isRootless && userIds < NODE_USER_IDS) {
    add(
      true,
      'ROOTLESS_IDS',
      `the user has ${userIds} of the ${NODE_USER_IDS} ids that the users of a node need`,
      `Install uidmap and give the user ${NODE_USER_IDS} ids in /etc/subuid and /etc/subgid, or run ${traits.name} as root.`,
    );
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

/**
 * Why the engine of a user who is not root can not run nodes; `undefined` where it can.
 *
 * @param controllers of cgroups, that the user was given
 */
export function judgeRootless(
  { name }: EngineTraits,
  controllers: readonly string[],
  { cgroups }: Pick<ContainerHostFacts, 'cgroups'>,
): DriverProblem | undefined {
  const missing = NODE_CONTROLLERS.filter((controller) => !controllers.includes(controller));
  if (cgroups === 'v2' && missing.length === 0) return undefined;
  const [why, cure] =
    cgroups === 'v2'
      ? [
          `these controllers of cgroups are not delegated to the user: ${missing.join(', ')}`,
          'Set Delegate=cpu cpuset io memory pids for user@.service and log in again',
        ]
      : [
          'with version 1 of cgroups only root may make the groups of pods',
          'Boot the host with version 2 of cgroups (systemd.unified_cgroup_hierarchy=1)',
        ];
  return {
    reason: 'DRV_ROOTLESS',
    message: `${name} is rootless, and ${why}`,
    fix: `${cure}, run ${name} as root, or use the driver local.`,
    url: DELEGATION_URL,
  };
}
