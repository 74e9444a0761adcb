import { cidrsOverlap, parseCidr } from '../../../drivers/container/subnets.js';
import { MkCiError } from '../../../errors.js';
import { ADDON_NAMES, ADDONS, isAddonName, type AddonName } from '../../addons/catalogue.js';
import type { ClusterSpec } from '../../cluster.js';
import { hasKubernetes } from '../../without-kubernetes.js';
import { problemOfManifest } from './check-manifest.js';

/** Address of the API server inside every node: on `lo` of the control plane, routed to it from the workers. It is the same
 * in all clusters, so certificates do not depend on the network and a copied node needs no new ones. */
export const CONTROL_PLANE_ADDRESS = '10.99.0.1';
export const API_PORT = 6443;
export const DEFAULT_POD_SUBNET = '10.244.0.0/16';
export const DEFAULT_SERVICE_SUBNET = '10.96.0.0/16';

/** Names of the nodes in Kubernetes, the same in all clusters. */
export const CONTROL_PLANE_NODE = 'control-plane';

export const MAX_CONTROL_PLANES = 9;
/** Holds the addresses of all control planes, where there may be several. */
const CONTROL_PLANE_SUBNET = '10.99.0.0/24';

export type RuntimeName = 'containerd' | 'docker' | 'cri-o';

/** One that mk-ci has itself, by its name, or a manifest of the user. */
export type Addon = AddonName | { readonly manifest: string };

/** How a cluster is set up, from the options of its spec. */
export interface KubeadmSettings {
  /** False: the nodes run the container runtime and nothing else; of the rest only what is about it counts. */
  readonly hasKubernetes: boolean;
  readonly kubernetesVersion: string;
  readonly runtime: RuntimeName;
  readonly podSubnet: string;
  readonly serviceSubnet: string;
  readonly proxyMode: 'iptables' | 'nftables' | 'ipvs';
  readonly featureGates: Readonly<Record<string, boolean>>;
  /** Arguments by component: `apiServer`, `controllerManager`, `scheduler`, `etcd`, `kubelet`. */
  readonly extraArgs: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** `own`: a list for `ptp` with routes between the nodes; `none`; or text of a manifest to be applied. */
  readonly cni: 'own' | 'none' | { readonly manifest: string };
  /** What is added once the cluster is up, in this order. */
  readonly addons: readonly Addon[];
  /** Mirrors by host of the registry. */
  readonly registryMirrors: Readonly<Record<string, readonly string[]>>;
  readonly insecureRegistries: readonly string[];
  /** Whether there may be several control planes, see `control-planes.ts`. */
  readonly hasBalancer: boolean;
  /** Whether claims for volumes are served by folders of the nodes. */
  readonly hasDefaultStorage: boolean;
}

const COMPONENTS = ['apiServer', 'controllerManager', 'scheduler', 'etcd', 'kubelet'] as const;
const KNOWN_OPTIONS = [
  ...['podSubnet', 'serviceSubnet', 'proxyMode', 'featureGates', 'extraArgs', 'cni', 'registryMirrors'],
  ...['insecureRegistries', 'defaultStorage', 'nodeImage', 'cpus', 'memoryMiB', 'noKubernetes'],
  'controlPlanes',
  'addons',
];

/**
 * @param driverOptions names of options that the driver reads; those of others are refused. `undefined` for a spec that was
 *   checked when its cluster was made
 * @throws {MkCiError} `CFG_INVALID` with every option that is not right
 */
export function readSettings(spec: ClusterSpec, driverOptions?: readonly string[]): KubeadmSettings {
  const options = spec.options ?? {};
  const problems: string[] = [];
  const bad = (key: string, want: string): void => {
    problems.push(`options.${key}: ${want}`);
  };
  const cidr = (key: string, fallback: string): string => {
    const value = options[key] ?? fallback;
    if (typeof value === 'string' && parseCidr(value) !== undefined) return value;
    bad(key, 'a subnet such as 10.244.0.0/16');
    return fallback;
  };
  const record = <T>(key: string, isRight: (value: unknown) => value is T, want: string): Record<string, T> => {
    const value = options[key] ?? {};
    const entries: [string, unknown][] | undefined =
      typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : undefined;
    const right = entries?.filter((entry): entry is [string, T] => isRight(entry[1]));
    if (right !== undefined && right.length === entries?.length) return Object.fromEntries(right);
    bad(key, want);
    return {};
  };
  const list = (key: string): readonly string[] => {
    const value = options[key] ?? [];
    if (isTextList(value)) return value;
    bad(key, 'a list of texts');
    return [];
  };
  const known = driverOptions === undefined ? Object.keys(options) : [...KNOWN_OPTIONS, ...driverOptions];
  for (const key of Object.keys(options))
    if (!known.includes(key)) bad(key, `not known; there are ${known.join(', ')}`);
  const podSubnet = cidr('podSubnet', DEFAULT_POD_SUBNET);
  const serviceSubnet = cidr('serviceSubnet', DEFAULT_SERVICE_SUBNET);
  if (cidrsOverlap(podSubnet, serviceSubnet)) bad('podSubnet', `overlaps with serviceSubnet ${serviceSubnet}`);
  const controlPlanes = options['controlPlanes'];
  const hasBalancer = controlPlanes !== undefined;
  const isCount = typeof controlPlanes === 'number' && Number.isInteger(controlPlanes);
  if (hasBalancer && !(isCount && controlPlanes >= 1 && controlPlanes <= MAX_CONTROL_PLANES))
    bad('controlPlanes', `a whole number from 1 to ${MAX_CONTROL_PLANES}`);
  const taken = hasBalancer ? CONTROL_PLANE_SUBNET : `${CONTROL_PLANE_ADDRESS}/32`;
  for (const [key, value] of Object.entries({ podSubnet, serviceSubnet })) {
    if (cidrsOverlap(value, taken)) bad(key, `holds ${CONTROL_PLANE_ADDRESS}, the address of the API server`);
  }
  const proxyMode = options['proxyMode'] ?? 'iptables';
  if (proxyMode !== 'iptables' && proxyMode !== 'nftables' && proxyMode !== 'ipvs')
    bad('proxyMode', 'iptables, nftables or ipvs');
  const given = record('extraArgs', isScalarRecord, 'arguments by component, each a text, a number, true or false');
  const extraArgs = Object.fromEntries(Object.entries(given).map(([component, args]) => [component, asTexts(args)]));
  for (const key of Object.keys(extraArgs)) {
    if (!COMPONENTS.some((component) => component === key)) bad(`extraArgs.${key}`, `one of ${COMPONENTS.join(', ')}`);
  }
  const cni = options['cni'] ?? 'own';
  if (cni !== 'own' && cni !== 'none' && !isManifest(cni)) bad('cni', 'own, none or { manifest: text }');
  const noKubernetes = options['noKubernetes'] ?? false;
  if (typeof noKubernetes !== 'boolean') bad('noKubernetes', 'true or false');
  const addons = options['addons'] ?? [];
  if (!Array.isArray(addons)) bad('addons', `a list of ${ADDON_FORMS}`);
  else if (driverOptions !== undefined)
    for (const [index, addon] of addons.entries()) {
      const problem = problemOfAddon(addon, spec.kubernetesVersion);
      if (problem !== undefined) bad(`addons[${index}]`, problem);
    }
  if (noKubernetes === true && Array.isArray(addons) && addons.length > 0) bad('addons', 'none with noKubernetes');
  const defaultStorage = options['defaultStorage'] ?? true;
  if (typeof defaultStorage !== 'boolean') bad('defaultStorage', 'true or false');
  if (noKubernetes === true && hasBalancer) bad('controlPlanes', 'none with noKubernetes');
  const settings: KubeadmSettings = {
    hasKubernetes: hasKubernetes(spec),
    hasBalancer,
    kubernetesVersion: spec.kubernetesVersion,
    runtime: runtimeOf(spec),
    podSubnet,
    serviceSubnet,
    proxyMode: proxyMode === 'nftables' || proxyMode === 'ipvs' ? proxyMode : 'iptables',
    featureGates: record('featureGates', (value) => typeof value === 'boolean', 'true or false by feature gate'),
    extraArgs,
    cni: cni === 'none' || isManifest(cni) ? cni : 'own',
    addons: Array.isArray(addons) ? addons.filter(isAddon) : [],
    registryMirrors: record('registryMirrors', isTextList, 'a list of addresses by host of the registry'),
    insecureRegistries: list('insecureRegistries'),
    hasDefaultStorage: defaultStorage !== false && hasKubernetes(spec),
  };
  if (problems.length > 0) {
    throw new MkCiError('CFG_INVALID', {
      message: `cluster ${spec.name}: ${problems.join('; ')}`,
      advice: 'Correct the options of the environment.',
      details: { problems },
    });
  }
  return settings;
}

/** @throws {MkCiError} `DRV_UNSUPPORTED` */
function runtimeOf({ containerRuntime = 'containerd' }: ClusterSpec): RuntimeName {
  if (containerRuntime === 'containerd' || containerRuntime === 'docker' || containerRuntime === 'cri-o')
    return containerRuntime;
  throw new MkCiError('DRV_UNSUPPORTED', { message: `container runtime ${containerRuntime}` });
}

/** `[major, minor]` of `v1.36.3`. */
export function minorOf(version: string): number {
  return Number(/^v1\.(\d+)\./.exec(version)?.[1] ?? 0);
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

type Scalar = string | number | boolean;

function isScalarRecord(value: unknown): value is Readonly<Record<string, Scalar>> {
  const isScalar = (item: unknown): boolean => ['string', 'number', 'boolean'].includes(typeof item);
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(isScalar);
}

function asTexts(scalars: Readonly<Record<string, Scalar>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(scalars).map(([name, value]) => [name, String(value)]));
}

function isManifest(value: unknown): value is { readonly manifest: string } {
  return typeof value === 'object' && value !== null && 'manifest' in value && typeof value.manifest === 'string';
}

const ADDON_FORMS = [...ADDON_NAMES, '{ manifest: text }'].join(' or ');

function isAddon(value: unknown): value is Addon {
  return isAddonName(value) || isManifest(value);
}

function problemOfAddon(addon: unknown, kubernetesVersion: string): string | undefined {
  if (!isAddon(addon)) return typeof addon === 'string' ? `no addon '${addon}'; give ${ADDON_FORMS}` : ADDON_FORMS;
  if (typeof addon === 'object') {
    const problem = problemOfManifest(addon.manifest);
    return problem === undefined ? undefined : `no manifest: ${problem}`;
  }
  const { version, minimumMinor } = ADDONS[addon];
  return minorOf(kubernetesVersion) < minimumMinor
    ? `${addon} ${version} is for Kubernetes v1.${minimumMinor} and later`
    : undefined;
}
