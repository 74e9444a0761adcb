import { MkCiError } from '../../errors.js';
import type { BundlePart, BundleProgram, CniPlugin } from './bundle.js';

/**
 * What bundles are made of, as data: a new program, part or component is a new line here, not new code. Pure.
 *
 * Where releases lie, looked up in the release scripts of the projects:
 * - Kubernetes: `dl.k8s.io/release/<version>/bin/<os>/<arch>/<program>`, beside it `<program>.sha256` with the bare sum.
 * - etcd: GitHub release `etcd-<version>-<os>-<arch>.tar.gz`, sums of all archives in `SHA256SUMS` of the same release.
 * - kwok: GitHub release `kwok-<os>-<arch>`, without a file of sums; GitHub itself publishes the sha256 of every release
 *   asset as `digest` in its API, so that is the published sum.
 * - containerd, CoreDNS, CNI plugins, cri-dockerd: GitHub releases as well, see each recipe.
 */

/** A project that is released as one: all its programs have one version. */
export type Component =
  'kubernetes' | 'etcd' | 'coredns' | 'pause' | 'containerd' | 'cni-plugins' | 'cri-dockerd' | 'kwok';

export interface Platform {
  readonly os: 'linux' | 'darwin';
  readonly arch: 'amd64' | 'arm64';
}

/** Which of the servers a path belongs to; their addresses are settings of the release source. */
export type ReleaseServer = 'kubernetes' | 'github' | 'github-api';

/** A place on a release server. `{version}`, `{number}` (without `v`), `{os}`, `{arch}`, `{program}` are filled in. */
export interface ReleasePath {
  readonly server: ReleaseServer;
  readonly path: string;
}

/** Where the published sha256 of a release file stands, and in which form. */
export interface PublishedSum extends ReleasePath {
  readonly format: 'bare' | 'sums-file' | 'github-digests';
}

export interface ReleaseRecipe {
  readonly file: ReleasePath;
  readonly sum: PublishedSum;
  /** Path inside the file when that is a `.tar.gz`; absent when the file is the program. */
  readonly member?: string;
}

/** How a component is built from the Go module that its project publishes. */
export interface GoRecipe {
  readonly module: string;
  /**
   * Version of modules that the project keeps in its own tree and requires as `v0.0.0`, given the version of the
   * component. Kubernetes publishes each of its staging modules as `v0.36.3` for `v1.36.3`.
   */
  readonly treeModuleVersion?: (version: string) => string;
  /** Values for `-ldflags -X`. `commit` is '' and `time` the epoch where the module proxy does not tell. */
  readonly stamps: (facts: { version: string; commit: string; time: string }) => Readonly<Record<string, string>>;
}

export interface ComponentDefinition {
  /** For people. */
  readonly title: string;
  /** Version of the component that goes with a Kubernetes version. */
  readonly versionFor: (kubernetesVersion: string) => string;
  /** SPDX identifier. */
  readonly licence: string;
  /** Absent when the project publishes no programs. */
  readonly release?: ReleaseRecipe;
  /** Absent when the program is one of mk-ci's own, see `own-source.ts`. */
  readonly go?: GoRecipe;
}

const KUBERNETES_VERSION_PACKAGES = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'] as const;

export const COMPONENTS: Readonly<Record<Component, ComponentDefinition>> = {
  kubernetes: {
    title: 'Kubernetes',
    versionFor: (kubernetesVersion) => kubernetesVersion,
    licence: 'Apache-2.0',
    release: {
      file: { server: 'kubernetes', path: '{version}/bin/{os}/{arch}/{program}' },
      sum: { server: 'kubernetes', path: '{version}/bin/{os}/{arch}/{program}.sha256', format: 'bare' },
    },
    go: {
      module: 'k8s.io/kubernetes',
      treeModuleVersion: (version) => version.replace(/^v1\./, 'v0.'),
      // Without these kubeadm and `kubectl version` report v0.0.0-master.
      stamps: ({ version, commit, time }) => {
        const { major, minor } = parseKubernetesVersion(version);
        const values: Record<string, string> = {
          gitVersion: version,
          gitMajor: String(major),
          gitMinor: String(minor),
          gitTreeState: 'clean',
          gitCommit: commit === '' ? 'unknown' : commit,
          buildDate: time,
        };
        return Object.fromEntries(
          KUBERNETES_VERSION_PACKAGES.flatMap((name) =>
            Object.entries(values).map(([key, value]) => [`${name}.${key}`, value]),
          ),
        );
      },
    },
  },
  etcd: {
    title: 'etcd',
    // DefaultEtcdVersion of the kubeadm of each minor version (cmd/kubeadm/app/constants/constants.go), and so below.
    versionFor: byMinor({ 36: 'v3.6.8', 0: 'v3.6.6' }),
    licence: 'Apache-2.0',
    release: {
      file: { server: 'github', path: 'etcd-io/etcd/releases/download/{version}/etcd-{version}-{os}-{arch}.tar.gz' },
      sum: { server: 'github', path: 'etcd-io/etcd/releases/download/{version}/SHA256SUMS', format: 'sums-file' },
      member: 'etcd-{version}-{os}-{arch}/{program}',
    },
    go: {
      module: 'go.etcd.io/etcd/server/v3',
      stamps: ({ commit }): Record<string, string> =>
        commit === '' ? {} : { 'go.etcd.io/etcd/api/v3/version.GitSHA': commit.slice(0, 7) },
    },
  },
  coredns: {
    title: 'CoreDNS',
    versionFor: byMinor({ 36: 'v1.14.2', 35: 'v1.13.1', 0: 'v1.12.1' }),
    licence: 'Apache-2.0',
    release: {
      file: { server: 'github', path: 'coredns/coredns/releases/download/{version}/coredns_{number}_{os}_{arch}.tgz' },
      sum: {
        server: 'github',
        path: 'coredns/coredns/releases/download/{version}/coredns_{number}_{os}_{arch}.tgz.sha256',
        format: 'bare',
      },
      member: 'coredns',
    },
    go: {
      module: 'github.com/coredns/coredns',
      stamps: ({ commit }): Record<string, string> =>
        commit === '' ? {} : { 'github.com/coredns/coredns/coremain.GitCommit': commit.slice(0, 7) },
    },
  },
  pause: {
    title: 'pause',
    versionFor: byMinor({ 36: 'v3.10.2', 34: 'v3.10.1', 0: 'v3.10' }),
    licence: 'Apache-2.0',
  },
  containerd: {
    title: 'containerd',
    versionFor: () => 'v2.4.2',
    licence: 'Apache-2.0',
    release: {
      file: {
        server: 'github',
        path: 'containerd/containerd/releases/download/{version}/containerd-static-{number}-{os}-{arch}.tar.gz',
      },
      sum: {
        server: 'github',
        path: 'containerd/containerd/releases/download/{version}/containerd-static-{number}-{os}-{arch}.tar.gz.sha256sum',
        format: 'sums-file',
      },
      member: 'bin/{program}',
    },
    go: {
      module: 'github.com/containerd/containerd/v2',
      stamps: ({ version, commit }) => ({
        'github.com/containerd/containerd/v2/version.Version': version,
        ...(commit === '' ? {} : { 'github.com/containerd/containerd/v2/version.Revision': commit }),
      }),
    },
  },
  'cni-plugins': {
    title: 'CNI plugins',
    versionFor: () => 'v1.9.1',
    licence: 'Apache-2.0',
    release: {
      file: {
        server: 'github',
        path: 'containernetworking/plugins/releases/download/{version}/cni-plugins-{os}-{arch}-{version}.tgz',
      },
      sum: {
        server: 'github',
        path: 'containernetworking/plugins/releases/download/{version}/cni-plugins-{os}-{arch}-{version}.tgz.sha256',
        format: 'sums-file',
      },
      member: '{program}',
    },
    go: {
      module: 'github.com/containernetworking/plugins',
      stamps: ({ version }) => ({
        'github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion': version,
      }),
    },
  },
  'cri-dockerd': {
    title: 'cri-dockerd',
    // The newest that the module proxy has under a version of its own.
    versionFor: () => 'v0.3.17',
    licence: 'Apache-2.0',
    release: {
      file: {
        server: 'github',
        path: 'Mirantis/cri-dockerd/releases/download/{version}/cri-dockerd-{number}.{arch}.tgz',
      },
      sum: {
        server: 'github-api',
        path: 'repos/Mirantis/cri-dockerd/releases/tags/{version}',
        format: 'github-digests',
      },
      member: 'cri-dockerd/{program}',
    },
    go: {
      module: 'github.com/Mirantis/cri-dockerd',
      stamps: ({ version, commit }) => ({
        'github.com/Mirantis/cri-dockerd/cmd/version.Version': version.replace(/^v/, ''),
        'github.com/Mirantis/cri-dockerd/cmd/version.PreRelease': '',
        'github.com/Mirantis/cri-dockerd/cmd/version.GitCommit': commit === '' ? 'HEAD' : commit.slice(0, 7),
      }),
    },
  },
  kwok: {
    title: 'kwok',
    versionFor: () => 'v0.8.0',
    licence: 'Apache-2.0',
    release: {
      file: { server: 'github', path: 'kubernetes-sigs/kwok/releases/download/{version}/{program}-{os}-{arch}' },
      sum: {
        server: 'github-api',
        path: 'repos/kubernetes-sigs/kwok/releases/tags/{version}',
        format: 'github-digests',
      },
    },
    go: {
      module: 'sigs.k8s.io/kwok',
      stamps: ({ version }) => ({ 'sigs.k8s.io/kwok/pkg/consts.Version': version }),
    },
  },
};

/**
 * Version of a component by Kubernetes minor version: that of the highest key which is not above it.
 *
 * kubeadm names the versions of CoreDNS, etcd and pause that it was made for; a test compares this with what the real
 * kubeadm prints.
 */
function byMinor(versions: Readonly<Record<number, string>>): (kubernetesVersion: string) => string {
  const rising = Object.keys(versions)
    .map(Number)
    .sort((left, right) => left - right);
  return (kubernetesVersion) => {
    const { minor } = parseKubernetesVersion(kubernetesVersion);
    const from = rising.findLast((key) => key <= minor) ?? 0;
    return versions[from] ?? '';
  };
}

/** A program of a bundle. */
export interface ProgramDefinition {
  readonly name: BundleProgram;
  readonly part: BundlePart;
  readonly component: Component;
  /** Go package that is its `main`; '' when it is not built from a module. */
  readonly goPackage: string;
  /** Folder in the bundle. `bin` is in front of PATH of suites, so network plugins lie apart. @default 'bin' */
  readonly folder?: 'cni';
  /** Arguments with which it prints its version. */
  readonly versionArguments: readonly string[];
}

export const PROGRAMS: readonly ProgramDefinition[] = [
  kubernetes('kube-apiserver', ['--version']),
  kubernetes('kube-controller-manager', ['--version']),
  kubernetes('kube-scheduler', ['--version']),
  kubernetes('kubectl', ['version', '--client']),
  {
    name: 'etcd',
    part: 'control-plane',
    component: 'etcd',
    goPackage: 'go.etcd.io/etcd/server/v3',
    versionArguments: ['--version'],
  },
  kubernetes('kubeadm', ['version', '-o', 'short'], 'node'),
  kubernetes('kubelet', ['--version'], 'node'),
  kubernetes('kube-proxy', ['--version'], 'node'),
  {
    name: 'coredns',
    part: 'node',
    component: 'coredns',
    goPackage: 'github.com/coredns/coredns',
    versionArguments: ['-version'],
  },
  { name: 'pause', part: 'node', component: 'pause', goPackage: '', versionArguments: ['-v'] },
  ...(['containerd', 'containerd-shim-runc-v2', 'ctr'] as const).map((name): ProgramDefinition => ({
    name,
    part: 'node',
    component: 'containerd',
    goPackage: `github.com/containerd/containerd/v2/cmd/${name}`,
    versionArguments: name === 'containerd-shim-runc-v2' ? ['-v'] : ['--version'],
  })),
  cniPlugin('bridge', 'main'),
  cniPlugin('ptp', 'main'),
  cniPlugin('loopback', 'main'),
  cniPlugin('host-local', 'ipam'),
  cniPlugin('portmap', 'meta'),
  cniPlugin('firewall', 'meta'),
  cniPlugin('bandwidth', 'meta'),
  cniPlugin('tuning', 'meta'),
  {
    name: 'cri-dockerd',
    part: 'docker-runtime',
    component: 'cri-dockerd',
    goPackage: 'github.com/Mirantis/cri-dockerd',
    versionArguments: ['--version'],
  },
  {
    name: 'kwok',
    part: 'fake-nodes',
    component: 'kwok',
    goPackage: 'sigs.k8s.io/kwok/cmd/kwok',
    versionArguments: ['--version'],
  },
  {
    name: 'kwokctl',
    part: 'bench',
    component: 'kwok',
    goPackage: 'sigs.k8s.io/kwok/cmd/kwokctl',
    versionArguments: ['--version'],
  },
];

function kubernetes(
  name: BundleProgram,
  versionArguments: readonly string[],
  part: BundlePart = 'control-plane',
): ProgramDefinition {
  return {
    name,
    part,
    component: 'kubernetes',
    goPackage: `k8s.io/kubernetes/cmd/${name}`,
    versionArguments,
  };
}

function cniPlugin(name: CniPlugin, kind: 'main' | 'ipam' | 'meta'): ProgramDefinition {
  return {
    name,
    part: 'node',
    component: 'cni-plugins',
    goPackage: `github.com/containernetworking/plugins/plugins/${kind}/${name}`,
    folder: 'cni',
    versionArguments: ['--version'],
  };
}

/** Every part, in the order of the catalogue. */
export const BUNDLE_PARTS: readonly BundlePart[] = [...new Set(PROGRAMS.map(({ part }) => part))];

/** Parts that `bundle build` and `bundle fetch` get when none is named: what clusters need. */
export const DEFAULT_PARTS: readonly BundlePart[] = ['control-plane', 'fake-nodes'];

/** Programs of the given parts, in the order of the catalogue. */
export function programsOf(parts: readonly BundlePart[]): ProgramDefinition[] {
  return PROGRAMS.filter(({ part }) => parts.includes(part));
}

/** Parts that nodes of kubeadm clusters are made of, whatever their container runtime. */
export const NODE_PARTS: readonly BundlePart[] = ['control-plane', 'node', 'docker-runtime'];

/** Where a program lies inside a bundle folder. */
export function pathInBundle(program: BundleProgram): string {
  const { folder = 'bin' } = PROGRAMS.find(({ name }) => name === program) ?? {};
  return `${folder}/${program}`;
}

/** Fills `{version}`, `{os}`, `{arch}` and `{program}` of a path. */
export function fillTemplate(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, key: string) => values[key] ?? whole);
}

export interface KubernetesVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

const VERSION = /^v(1)\.(\d{1,3})\.(\d{1,4})(?:-(?:alpha|beta|rc)\.\d{1,3})?$/;

/** @throws {MkCiError} `BND_UNKNOWN_VERSION` for anything but a full version such as `v1.36.3` or `v1.37.0-rc.1` */
export function parseKubernetesVersion(text: string): KubernetesVersion {
  const match = VERSION.exec(text);
  if (match === null) {
    const hint = /^\d/.test(text) ? `v${text}` : undefined;
    throw new MkCiError('BND_UNKNOWN_VERSION', {
      message: `'${text}' is not a full version`,
      ...(hint !== undefined && VERSION.test(hint) ? { advice: `Did you mean ${hint}?` } : {}),
    });
  }
  return { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3]) };
}

/** @throws {MkCiError} `HOST_UNSUPPORTED` where no Kubernetes programs exist for this host */
export function platformOf(platform: NodeJS.Platform, arch: string): Platform {
  const found = { x64: 'amd64', arm64: 'arm64' } as const;
  const translated = arch === 'x64' || arch === 'arm64' ? found[arch] : undefined;
  if ((platform !== 'linux' && platform !== 'darwin') || translated === undefined) {
    throw new MkCiError('HOST_UNSUPPORTED', { message: `${platform} on ${arch} has no Kubernetes control plane` });
  }
  return { os: platform, arch: translated };
}

/** `linux-amd64`. */
export function formatPlatform({ os, arch }: Platform): string {
  return `${os}-${arch}`;
}
