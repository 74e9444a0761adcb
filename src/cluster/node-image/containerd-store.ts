import { writeBolt, type BoltBucket, type BoltValue } from './bolt.js';
import type { ComponentImage } from './component-image.js';
import { FIXED_TIME_SECONDS, type TarEntry } from './tar.js';

/**
 * The store of containerd (below `/var/lib/containerd`) in which images are unpacked already, written without containerd.
 * Pure.
 *
 * A snapshot is a folder with a link to where the layer lies in the node image, so the store holds some kilobytes. The
 * layers' archives are not kept: in their place stand empty files, because the CRI plugin looks whether they exist when
 * it starts. An image can so be run and removed, but not exported.
 *
 * @see `core/metadata/buckets.go`, `core/snapshots/storage/bolt.go` and `internal/cri/server/images/check.go` of
 *   containerd v2 for the layout
 */
export function containerdStore(images: readonly ComponentImage[], layersFolder: string): TarEntry[] {
  const content = 'io.containerd.content.v1.content';
  const snapshotter = 'io.containerd.snapshotter.v1.overlayfs';
  const blob = (digest: string): string => `${content}/blobs/sha256/${digest.slice('sha256:'.length)}`;
  const entries: TarEntry[] = [
    { kind: 'folder', path: `${content}/ingest` },
    { kind: 'file', path: 'io.containerd.metadata.v1.bolt/meta.db', content: writeBolt(metadataOf(images)) },
    { kind: 'file', path: `${snapshotter}/metadata.db`, content: writeBolt(snapshotsOf(images)), mode: 0o600 },
  ];
  for (const [index, image] of images.entries()) {
    const { manifest, config, layer } = image;
    entries.push(
      { kind: 'file', path: blob(manifest.digest), content: manifest.bytes, mode: 0o444 },
      { kind: 'file', path: blob(config.digest), content: config.bytes, mode: 0o444 },
      { kind: 'file', path: blob(layer.digest), content: Buffer.alloc(0), mode: 0o444 },
      { kind: 'folder', path: `${snapshotter}/snapshots/${index + 1}`, mode: 0o700 },
      { kind: 'link', path: `${snapshotter}/snapshots/${index + 1}/fs`, target: `${layersFolder}/${image.folder}` },
      { kind: 'folder', path: `${snapshotter}/snapshots/${index + 1}/work`, mode: 0o711 },
    );
  }
  return entries;
}

const NAMESPACE = 'k8s.io';
/** Version of the metadata schema, `dbVersion` in `core/metadata/db.go`. */
const SCHEMA_VERSION = 4;
const KIND_COMMITTED = 3;

function metadataOf(images: readonly ComponentImage[]): BoltBucket {
  const blobs: Record<string, BoltValue> = {};
  const names: Record<string, BoltValue> = {};
  const snapshots: Record<string, BoltValue> = {};
  for (const [index, { name, manifest, config, layer }] of images.entries()) {
    names[name] = bucket({
      ...timestamps(),
      target: bucket({
        digest: Buffer.from(manifest.digest),
        mediatype: Buffer.from(manifest.mediaType),
        size: varint(manifest.bytes.length),
      }),
    });
    // Whatever no label points to is removed by the next garbage collection.
    blobs[manifest.digest] = blobOf(manifest.bytes.length, {
      'containerd.io/gc.ref.content.config': config.digest,
      'containerd.io/gc.ref.content.l.0': layer.digest,
    });
    blobs[config.digest] = blobOf(config.bytes.length, { 'containerd.io/gc.ref.snapshot.overlayfs': layer.digest });
    blobs[layer.digest] = blobOf(layer.sizeBytes, { 'containerd.io/uncompressed': layer.digest });
    // Of an image with one layer the chain id is the layer's.
    snapshots[layer.digest] = bucket({ ...timestamps(), name: Buffer.from(snapshotName(index, layer.digest)) });
  }
  return bucket({
    v1: bucket({
      version: varint(SCHEMA_VERSION),
      [NAMESPACE]: bucket({
        images: bucket(names),
        content: bucket({ blob: bucket(blobs) }),
        snapshots: bucket({ overlayfs: { entries: snapshots, sequence: images.length } }),
      }),
    }),
  });
}

function snapshotsOf(images: readonly ComponentImage[]): BoltBucket {
  const snapshots: Record<string, BoltValue> = {};
  for (const [index, { layer }] of images.entries()) {
    snapshots[snapshotName(index, layer.digest)] = bucket({
      ...timestamps(),
      id: uvarint(index + 1),
      kind: Buffer.from([KIND_COMMITTED]),
      inodes: varint(layer.inodes),
      size: varint(layer.sizeBytes),
    });
  }
  return bucket({
    v1: bucket({ snapshots: { entries: snapshots, sequence: images.length }, parents: bucket({}) }),
  });
}

function snapshotName(index: number, key: string): string {
  return `${NAMESPACE}/${index + 1}/${key}`;
}

function blobOf(sizeBytes: number, labels: Readonly<Record<string, string>>): BoltBucket {
  const values = Object.entries(labels).map(([key, value]) => [key, Buffer.from(value)] as const);
  return bucket({ ...timestamps(), size: varint(sizeBytes), labels: bucket(Object.fromEntries(values)) });
}

function bucket(entries: Readonly<Record<string, BoltValue>>): BoltBucket {
  return { entries };
}

function timestamps(): Record<'createdat' | 'updatedat', Buffer> {
  const time = goTime(FIXED_TIME_SECONDS);
  return { createdat: time, updatedat: time };
}

/** Go's `time.Time.MarshalBinary` of a time in UTC: version, seconds since the year 1, nanoseconds, offset -1. */
function goTime(unixSeconds: number): Buffer {
  const bytes = Buffer.alloc(15);
  bytes.writeUInt8(1, 0);
  bytes.writeBigInt64BE(BigInt(unixSeconds) + 62_135_596_800n, 1);
  bytes.writeInt16BE(-1, 13);
  return bytes;
}

/** Go's `binary.PutUvarint`: seven bits a byte, lowest first. */
export function uvarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  return Buffer.from([...bytes, Number(rest)]);
}

/** Go's `binary.PutVarint` of a number that is not negative. */
export function varint(value: number): Buffer {
  return uvarint(value * 2);
}
