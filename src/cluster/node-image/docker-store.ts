import { createHash } from 'node:crypto';

import type { ComponentImage } from './component-image.js';
import type { TarEntry } from './tar.js';

/**
 * The store of docker (below `/var/lib/docker`, driver overlay2) in which images are unpacked already, written without
 * docker. Pure. Layers are links to where they lie in the node image, as in `containerd-store.ts`. The record that docker
 * needs for `docker save` (tar-split) is not made: images can be run and removed, but not saved.
 *
 * @see `layer/filestore.go`, `image/fs.go`, `reference/store.go` and `daemon/graphdriver/overlay2` of moby v26
 */
export function dockerStore(images: readonly ComponentImage[], layersFolder: string): TarEntry[] {
  const repositories: Record<string, Record<string, string>> = {};
  const entries: TarEntry[] = [
    { kind: 'folder', path: '', mode: 0o710 },
    { kind: 'folder', path: 'image/overlay2/imagedb/metadata/sha256', mode: 0o700 },
    { kind: 'folder', path: 'image/overlay2/distribution', mode: 0o700 },
    { kind: 'folder', path: 'image/overlay2/layerdb/mounts', mode: 0o700 },
    { kind: 'folder', path: 'image/overlay2/layerdb/tmp', mode: 0o700 },
  ];
  for (const { name, config, layer, folder } of images) {
    const repository = name.slice(0, name.lastIndexOf(':'));
    repositories[repository] = { ...repositories[repository], [name]: config.digest };
    const chain = `image/overlay2/layerdb/${layer.digest.replace(':', '/')}`;
    const id = layer.digest.slice('sha256:'.length);
    const link = shortName(id);
    entries.push(
      {
        kind: 'file',
        path: `image/overlay2/imagedb/content/${config.digest.replace(':', '/')}`,
        content: config.bytes,
        mode: 0o600,
      },
      { kind: 'file', path: `${chain}/diff`, content: Buffer.from(layer.digest) },
      { kind: 'file', path: `${chain}/cache-id`, content: Buffer.from(id) },
      { kind: 'file', path: `${chain}/size`, content: Buffer.from(String(layer.sizeBytes)) },
      { kind: 'folder', path: `overlay2/${id}`, mode: 0o710 },
      { kind: 'file', path: `overlay2/${id}/committed`, content: Buffer.alloc(0), mode: 0o600 },
      { kind: 'file', path: `overlay2/${id}/link`, content: Buffer.from(link) },
      { kind: 'link', path: `overlay2/${id}/diff`, target: `${layersFolder}/${folder}` },
      { kind: 'link', path: `overlay2/l/${link}`, target: `../${id}/diff` },
    );
  }
  entries.push({
    kind: 'file',
    path: 'image/overlay2/repositories.json',
    content: Buffer.from(JSON.stringify({ Repositories: repositories })),
    mode: 0o600,
  });
  return entries.filter(({ path }) => path !== '');
}

/** overlay2 keeps mount options short with a second name of 26 letters; docker draws it, here it follows from the layer. */
function shortName(id: string): string {
  const digest = createHash('sha256').update(id).digest();
  return [...digest.subarray(0, 26)].map((byte) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.charAt(byte % 32)).join('');
}
