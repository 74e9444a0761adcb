/** A verified folder with the programs that one Kubernetes version needs, and where they come from. */

/**
 * What a bundle can hold, by use. `control-plane` is what the `local` driver starts; `node` adds what a machine needs to
 * be a node of kubeadm with containerd; `docker-runtime` what docker needs besides as container runtime of a node;
 * `fake-nodes` adds kwok; `bench` is what the benchmarks compare with. `catalogue.ts` says which files each part has.
 */
export type BundlePart = 'control-plane' | 'node' | 'docker-runtime' | 'fake-nodes' | 'bench';

/** Network plugins that a node gets: for pods on one node and on several, for host ports, and for manifests of users. */
export type CniPlugin = 'bridge' | 'ptp' | 'loopback' | 'host-local' | 'portmap' | 'firewall' | 'bandwidth' | 'tuning';

export type BundleProgram =
  | 'etcd'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'kubectl'
  | 'kubeadm'
  | 'kubelet'
  | 'kube-proxy'
  | 'coredns'
  | 'pause'
  | 'containerd'
  | 'containerd-shim-runc-v2'
  | 'ctr'
  | CniPlugin
  | 'cri-dockerd'
  | 'kwok'
  | 'kwokctl';

/** A bundle on disk, complete and checked. */
export interface Bundle {
  /** Such as `v1.36.3`. */
  readonly kubernetesVersion: string;
  readonly folder: string;
  /** Folder with the programs, to be put in front of PATH. */
  readonly binaries: string;
  /** Hash over names and checksums of the files of the parts that were asked for; others may join the bundle without changing it. */
  readonly digest: string;
  /** @throws {MkCiError} `BND_NO_SOURCE` when the bundle was made without it */
  path(program: BundleProgram): string;
}

/** A step of getting a bundle, for progress lines. */
export interface BundleStep {
  readonly name: string;
  /** `skipped`: a source had nothing, with the reason in `message`; the next one is asked. */
  readonly state: 'started' | 'progress' | 'ok' | 'failed' | 'skipped';
  /** 0…1 where it is known. */
  readonly fraction?: number;
  readonly message?: string;
  readonly durationMs?: number;
}

export interface EnsureBundleOptions {
  readonly parts: readonly BundlePart[];
  readonly signal: AbortSignal;
  readonly onStep?: (step: BundleStep) => void;
}

/** Gets bundles: from the cache, else from the sources in their order. Two processes that ask for one wait for one build. */
export interface BundleStore {
  /** @throws {MkCiError} `BND_NO_SOURCE` with each source and why it failed; `BND_CHECKSUM`; `BND_UNKNOWN_VERSION` */
  ensure(kubernetesVersion: string, options: EnsureBundleOptions): Promise<Bundle>;
}

/** Kubernetes version used where none is asked for. */
export const DEFAULT_KUBERNETES_VERSION = 'v1.36.3';
