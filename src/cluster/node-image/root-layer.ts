import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { Readable } from 'node:stream';

import { extract, type Header, type Pack } from 'tar-stream';

import { isProxyMaterial, type RootTree } from './root-tree.js';
import { FIXED_TIME_SECONDS, writeTarWith, type EntryHeader, type WrittenTar } from './tar.js';

/** Things of a root file system that differ from one making to the next, or that belong to a machine and not to an image. */
const DROPPED = [
  /^dev\/./,
  /^(?:proc|sys|run|tmp|var\/tmp)\/./,
  /^var\/cache\/(?:apt|ldconfig|debconf)\/./,
  /^var\/lib\/apt\/lists\/./,
  /^var\/log\/(?:.*\.log|apt\/.*|btmp|wtmp|lastlog|faillog)$/,
  /^var\/lib\/(?:dbus\/machine-id|systemd\/(?:random-seed|catalog\/database))$/,
  /^etc\/(?:hostname|resolv\.conf|ssh\/ssh_host_.*)$/,
  /^usr\/share\/(?:doc|man|locale|info|lintian|bash-completion|zsh)\/./,
  /^\.dockerenv$/,
  // Nodes start runtimes and ssh when they want them, with their own configuration.
  /^etc\/systemd\/system\/[\w-]+\.target\.wants\/(?:docker|containerd|ssh|podman|crio|apt-daily|fstrim|e2scrub)[\w.@-]*$/,
];
/**
 * Eight hundred small files, of which a node needs none while it runs. `/var` of a node is a volume that the engine fills file by file for
 * each node and removes with it; what lies elsewhere is shared. systemd's and rpm's name for such a place.
 */
const MOVED = { from: 'var/lib/dpkg', folder: 'usr/lib/sysimage', to: 'usr/lib/sysimage/dpkg' } as const;
/** Stays, without content: systemd then takes a fresh id at each first start. */
const EMPTIED = /^etc\/machine-id$/;

export interface RootLayer extends WrittenTar {
  readonly inodes: number;
  readonly tree: RootTree;
}

/**
 * Copies the tar of a root file system without what is not reproducible, times clamped, and reads on the way what
 * kube-proxy's image needs of it. File capabilities are left out: they only matter to users other than root, of whom a
 * node has none, and tar-stream can not carry their bytes.
 *
 * @param from `.tar`, or gzip'ed
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`; {Error} when it is not a tar
 */
export async function writeRootLayer(from: string, to: string, signal: AbortSignal): Promise<RootLayer> {
  const files = new Map<string, { content: Buffer; mode: number }>();
  const links = new Map<string, string>();
  let inodes = 0;
  let hasLink = false;
  const written = await writeTarWith(to, signal, async (archive) => {
    const reader = extract();
    const source = createReadStream(from, { highWaterMark: 1024 * 1024 });
    const first = await firstBytes(from);
    const fed =
      first[0] === 0x1f && first[1] === 0x8b
        ? pipeline(source, createGunzip(), reader, { signal })
        : pipeline(source, reader, { signal });
    // Awaited below; a failure also ends the loop.
    fed.catch(() => undefined);
    for await (const entry of reader) {
      const path = cleanPath(entry.header.name);
      if (path === '' || DROPPED.some((pattern) => pattern.test(path))) {
        entry.resume();
        continue;
      }
      const place = placeOf(path, entry.header.type);
      if (place !== path && !hasLink) {
        hasLink = true;
        inodes += 2;
        await addLinkToMoved(archive);
      }
      const header = normalise(entry.header, place);
      inodes += 1;
      if (header.type === 'symlink') links.set(path, header.linkname ?? '');
      if (EMPTIED.test(path)) {
        entry.resume();
        await addBuffer(archive, { ...header, size: 0 }, Buffer.alloc(0));
      } else if (header.type === 'file' && isProxyMaterial(path)) {
        const content = Buffer.concat(await Readable.from(entry).toArray());
        files.set(path, { content, mode: (header.mode ?? 0o644) & 0o777 });
        await addBuffer(archive, header, content);
      } else if (header.type === 'file') {
        await pipeline(entry, archive.entry(header), { signal });
      } else {
        entry.resume();
        await addBuffer(archive, header, undefined);
      }
    }
    await fed;
  });
  return { ...written, inodes, tree: { files, links } };
}

/** Where something of the root file system lies in a node. Pure. */
function placeOf(path: string, type: Header['type']): string {
  const isMoved = path === MOVED.from ? type === 'directory' : path.startsWith(`${MOVED.from}/`);
  return isMoved ? MOVED.to + path.slice(MOVED.from.length) : path;
}

async function addLinkToMoved(archive: Pack): Promise<void> {
  const common = { uid: 0, gid: 0, size: 0, mtime: new Date(FIXED_TIME_SECONDS * 1000), uname: '', gname: '' };
  await addBuffer(archive, { ...common, name: `${MOVED.folder}/`, type: 'directory', mode: 0o755 }, undefined);
  const link = { name: MOVED.from, linkname: `/${MOVED.to}` };
  await addBuffer(archive, { ...common, ...link, type: 'symlink', mode: 0o777 }, undefined);
}

export function cleanPath(name: string): string {
  return name
    .replace(/^(?:\.?\/)+/, '')
    .replace(/\/+$/, '')
    .replace(/^\.$/, '');
}

function normalise(header: Header, path: string): EntryHeader {
  const seconds = Math.min(Math.floor(header.mtime.getTime() / 1000), FIXED_TIME_SECONDS);
  return {
    name: header.type === 'directory' ? `${path}/` : path,
    type: header.type,
    mode: header.mode,
    uid: header.uid,
    gid: header.gid,
    size: header.size,
    mtime: new Date(Math.max(0, seconds) * 1000),
    uname: '',
    gname: '',
    ...(header.type === 'link' ? { linkname: placeOf(cleanPath(header.linkname), 'file') } : {}),
    ...(header.type === 'symlink' ? { linkname: header.linkname } : {}),
  };
}

async function addBuffer(archive: Pack, header: EntryHeader, content: Buffer | undefined): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    archive.entry(header, content ?? '', (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

async function firstBytes(path: string): Promise<Buffer> {
  for await (const piece of createReadStream(path, { end: 1 })) return Buffer.from(piece as Buffer);
  return Buffer.alloc(0);
}
