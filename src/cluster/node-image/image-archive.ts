import type { BuiltImage, ImageBlob } from './component-image.js';
import { writeTar, type TarEntry, type WrittenTar } from './tar.js';

/**
 * Entries of an archive of images that is an OCI image layout and a docker archive at once: `docker load`, `podman load`,
 * `ctr images import` and whatever reads OCI layouts take it. Pure.
 *
 * @see {@link https://github.com/opencontainers/image-spec/blob/main/image-layout.md} for the layout, and
 *   {@link https://github.com/moby/docker-image-spec} (`manifest.json`) for docker's
 */
export function imageArchiveEntries(images: readonly BuiltImage[]): TarEntry[] {
  const blobs = new Map<string, TarEntry>();
  const addBlob = ({ digest, bytes }: ImageBlob): void => {
    blobs.set(digest, { kind: 'file', path: blobPath(digest), content: bytes });
  };
  for (const { manifest, config, layers } of images) {
    addBlob(manifest);
    addBlob(config);
    for (const { digest, file, sizeBytes } of layers) {
      blobs.set(digest, { kind: 'file', path: blobPath(digest), content: { file, sizeBytes } });
    }
  }
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: images.map(({ name, manifest }) => ({
      mediaType: manifest.mediaType,
      digest: manifest.digest,
      size: manifest.bytes.length,
      annotations: {
        // The first is what containerd goes by, the second what the image layout says.
        'io.containerd.image.name': name,
        'org.opencontainers.image.ref.name': name.slice(name.lastIndexOf(':') + 1),
      },
    })),
  };
  const dockerManifest = images.map(({ name, config, layers }) => ({
    Config: blobPath(config.digest),
    RepoTags: [name],
    Layers: layers.map(({ digest }) => blobPath(digest)),
  }));
  return [
    { kind: 'file', path: 'oci-layout', content: json({ imageLayoutVersion: '1.0.0' }) },
    { kind: 'file', path: 'index.json', content: json(index) },
    { kind: 'file', path: 'manifest.json', content: json(dockerManifest) },
    { kind: 'folder', path: 'blobs' },
    { kind: 'folder', path: 'blobs/sha256' },
    ...[...blobs.values()].sort((left, right) => (left.path < right.path ? -1 : 1)),
  ];
}

/**
 * Writes one archive of all images; what describes them comes first, so that a reader need not pass over the layers.
 *
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`
 */
export async function writeImageArchive(
  path: string,
  images: readonly BuiltImage[],
  signal: AbortSignal,
): Promise<WrittenTar> {
  return await writeTar(path, imageArchiveEntries(images), signal);
}

function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
