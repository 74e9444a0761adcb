import { z } from 'zod';

import type { BundleStep } from '../bundle/index.js';

/** Container engines that a node image can be loaded into. */
export const IMAGE_ENGINES = ['docker', 'podman'] as const;
export type ImageEngine = (typeof IMAGE_ENGINES)[number];

/** Folder of the node image with the layers of Kubernetes' images, unpacked. */
export const LAYERS_FOLDER = '/opt/mk-ci/layers';
/** Raised when the same inputs give another image. */
export const RECIPE = 3;

/** Facts of a node image: in the image as `/etc/mk-ci/node-image.json`, and with {@link recordSchema} in the cache. */
export const factsSchema = z.strictObject({
  format: z.literal('mk-ci-node-image/1'),
  kubernetesVersion: z.string(),
  arch: z.enum(['amd64', 'arm64']),
  /** Content key: recipe, digest of the bundle, sha256 of the root file system. */
  key: z.string().regex(/^[0-9a-f]{16}$/),
  bundleDigest: z.string(),
  rootfsSha256: z.string(),
  /** Names that kubeadm asks for, in its order. */
  images: z.array(z.string()),
  pauseImage: z.string(),
  runtimes: z.array(z.enum(['containerd', 'docker'])),
});
export type NodeImageFacts = z.infer<typeof factsSchema>;

export const recordSchema = factsSchema.extend({
  /** Name and tag in engines. */
  reference: z.string(),
  /** `sha256:…`, id of the image in every engine. */
  digest: z.string(),
  /** Of the archive. */
  sizeBytes: z.number(),
  imagesSizeBytes: z.number(),
  buildSeconds: z.number(),
  createdAt: z.iso.datetime(),
  madeBy: z.string(),
});

/** A node image in the cache. */
export interface NodeImage extends z.infer<typeof recordSchema> {
  readonly folder: string;
  /** Archive of the node image: OCI layout and docker archive in one. */
  readonly archive: string;
  /** Archive of the images that kubeadm asks for, to be loaded into nodes of another version before an upgrade. */
  readonly imagesArchive: string;
}

export interface EnsureNodeImageOptions {
  readonly signal: AbortSignal;
  readonly onStep?: (step: BundleStep) => void;
  /** Tar of a root file system in place of the one that mmdebstrap makes. */
  readonly rootfs?: string | undefined;
  /** Image of an engine in its place. */
  readonly base?: { readonly image: string; readonly engine: ImageEngine } | undefined;
}

export interface NodeImageStore {
  /**
   * Gets the node image of a version from the cache, else makes it. Two processes that ask for one wait for one.
   *
   * @throws {MkCiError} as `BundleStore.ensure`; `HOST_MISSING_TOOL`, `IMG_NO_MIRROR`, `IMG_ROOTFS_FAILED`,
   *   `IMG_BAD_ROOTFS`, `NET_UNREACHABLE`, `HOST_DISK_FULL`
   */
  ensure(kubernetesVersion: string, options: EnsureNodeImageOptions): Promise<NodeImage>;
  /**
   * The root file system that nodes are made of, as a tar in the cache.
   *
   * @throws {MkCiError} `HOST_MISSING_TOOL`, `IMG_NO_MIRROR`, `IMG_ROOTFS_FAILED`, `NET_UNREACHABLE`, `HOST_DISK_FULL`
   */
  debian(options: Pick<EnsureNodeImageOptions, 'signal' | 'onStep'>): Promise<string>;
  /** Complete images in the cache, newest first. */
  list(): Promise<readonly NodeImage[]>;
  /**
   * Puts an image into an engine, unless it is there.
   *
   * @returns whether it had to be loaded
   * @throws {MkCiError} `IMG_NO_ENGINE`, `IMG_LOAD_FAILED`
   */
  load(image: NodeImage, engine: ImageEngine, signal: AbortSignal): Promise<boolean>;
}
