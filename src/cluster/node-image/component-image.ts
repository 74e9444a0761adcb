import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { FIXED_TIME_ISO, withParents, writeTar, type TarEntry } from './tar.js';

/** Container images made of files, without an engine. */

export interface ImageBlob {
  /** `sha256:…` */
  readonly digest: string;
  readonly bytes: Buffer;
}

export interface ImageLayer {
  /** `sha256:…` of the tar, which is not compressed, so it is the diff id too. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly inodes: number;
  /** Where the tar lies. */
  readonly file: string;
}

/** An image ready to be put into an archive. */
export interface BuiltImage {
  /** With tag, such as `registry.k8s.io/pause:3.10.2`. */
  readonly name: string;
  readonly manifest: ImageBlob & { readonly mediaType: string };
  /** Its digest is what engines call the id of the image. */
  readonly config: ImageBlob;
  readonly layers: readonly ImageLayer[];
}

/** An image of one layer whose files are known, so that it can be put into a store unpacked. */
export interface ComponentImage extends BuiltImage {
  readonly layer: ImageLayer;
  readonly entries: readonly TarEntry[];
  /** Name of the folder that holds the layer unpacked in a node image. */
  readonly folder: string;
}

export interface ImageConfig {
  readonly architecture: string;
  readonly entrypoint: readonly string[];
  readonly env?: readonly string[];
  readonly workingDir?: string;
  readonly stopSignal?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface BuildImageOptions extends ImageConfig {
  readonly name: string;
  /** Folders above them are made. */
  readonly files: readonly TarEntry[];
  /** Receives the layer's tar. */
  readonly workFolder: string;
  readonly signal: AbortSignal;
}

export const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

/**
 * Makes an image `FROM scratch` of files. The same files give the same image id, wherever and whenever.
 *
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`
 */
export async function buildImage(options: BuildImageOptions): Promise<ComponentImage> {
  const { name, files, workFolder, signal } = options;
  const entries = withParents(files);
  const file = join(workFolder, `layer-${name.replaceAll(/[^\w.-]+/g, '-')}.tar`);
  const written = await writeTar(file, entries, signal);
  const layer = { digest: `sha256:${written.sha256}`, sizeBytes: written.sizeBytes, inodes: entries.length + 1, file };
  return { ...composeImage(name, options, [layer]), layer, entries, folder: written.sha256.slice(0, 16) };
}

/** Image of layers that are there already, lowest first. Pure. */
export function composeImage(name: string, config: ImageConfig, layers: readonly ImageLayer[]): BuiltImage {
  const configBlob = blobOf({
    architecture: config.architecture,
    os: 'linux',
    created: FIXED_TIME_ISO,
    config: {
      Entrypoint: config.entrypoint,
      Env: [DEFAULT_PATH, ...(config.env ?? [])],
      WorkingDir: config.workingDir ?? '/',
      ...(config.stopSignal === undefined ? {} : { StopSignal: config.stopSignal }),
      ...(config.labels === undefined ? {} : { Labels: sortKeys(config.labels) }),
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    history: layers.map(() => ({ created: FIXED_TIME_ISO, created_by: 'mk-ci' })),
  });
  const manifest = blobOf({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: configBlob.digest,
      size: configBlob.bytes.length,
    },
    layers: layers.map(({ digest, sizeBytes }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest,
      size: sizeBytes,
    })),
  });
  return { name, manifest: { ...manifest, mediaType: MANIFEST_TYPE }, config: configBlob, layers };
}

function blobOf(value: object): ImageBlob {
  const bytes = Buffer.from(JSON.stringify(value));
  return { digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, bytes };
}

function sortKeys(record: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([left], [right]) => (left < right ? -1 : 1)));
}
