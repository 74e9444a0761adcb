import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { extract } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { buildImage, type ComponentImage } from './component-image.js';
import { containerdStore, uvarint, varint } from './containerd-store.js';
import { dockerStore } from './docker-store.js';
import { writeImageArchive } from './image-archive.js';
import { parseImageNames, pauseImageOf, programOfImage } from './kubernetes-images.js';
import { cleanPath, writeRootLayer } from './root-layer.js';
import { withParents, writeTar, type TarEntry } from './tar.js';
import { nodeImageKey } from './store.js';

const never = new AbortController().signal;
let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await createTemporaryFolder();
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

function text(path: string, content: string, mode?: number): TarEntry {
  return { kind: 'file', path, content: Buffer.from(content), ...(mode === undefined ? {} : { mode }) };
}

async function makeImage(
  name = 'registry.example/tools/sleep:v1',
  files = [text('bin/sleep', 'program', 0o755)],
): Promise<ComponentImage> {
  return await buildImage({
    name,
    architecture: 'amd64',
    entrypoint: ['/bin/sleep'],
    files,
    workFolder: folder.path,
    signal: never,
  });
}

async function readTar(path: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const reader = extract();
  createReadStream(path).pipe(reader);
  for await (const entry of reader) {
    const pieces: Buffer[] = [];
    for await (const piece of entry) pieces.push(Buffer.from(piece as Buffer));
    files.set(entry.header.name, Buffer.concat(pieces));
  }
  return files;
}

describe('an image of files', () => {
  it('has the same id for the same files in any order, and another one for another byte', async () => {
    const [a, b] = [text('a', '1'), text('b', '2')];
    const ids = [];
    for (const files of [
      [a, b],
      [b, a],
      [a, text('b', '3')],
    ])
      ids.push((await makeImage('x:1', files)).config.digest);
    expect(ids[0]).toBe(ids[1]);
    expect(ids[2]).not.toBe(ids[0]);
  });

  it('is in the archive as OCI layout and as docker archive, both with its name and its blobs', async () => {
    const image = await makeImage();
    const path = join(folder.path, 'images.tar');
    await writeImageArchive(path, [image], never);
    const files = await readTar(path);
    const parse = (name: string): unknown => JSON.parse(files.get(name)?.toString() ?? 'null');
    expect(parse('oci-layout')).toEqual({ imageLayoutVersion: '1.0.0' });
    expect(parse('index.json')).toMatchObject({
      manifests: [{ digest: image.manifest.digest, annotations: { 'io.containerd.image.name': image.name } }],
    });
    const layer = `blobs/${image.layer.digest.replace(':', '/')}`;
    const config = `blobs/${image.config.digest.replace(':', '/')}`;
    expect(parse('manifest.json')).toEqual([{ Config: config, RepoTags: [image.name], Layers: [layer] }]);
    expect(parse(config)).toMatchObject({
      rootfs: { diff_ids: [image.layer.digest] },
      config: { Entrypoint: ['/bin/sleep'] },
    });
    expect(files.get(layer)?.length).toBe(image.layer.sizeBytes);
  });

  it('puts an archive of the same images together to the same bytes', async () => {
    const paths = [join(folder.path, '1.tar'), join(folder.path, '2.tar')];
    for (const path of paths) await writeImageArchive(path, [await makeImage()], never);
    const [first, second] = await Promise.all(paths.map(async (path) => await readFile(path)));
    expect(first?.equals(second ?? Buffer.alloc(0))).toBe(true);
  });
});

describe('withParents', () => {
  it('adds the folders above, once, before what is in them, and keeps a mode that was given', () => {
    const entries = withParents([text('a/b/c', ''), { kind: 'folder', path: 'a', mode: 0o700 }, text('a/d', '')]);
    expect(entries.map(({ path }) => path)).toEqual(['a', 'a/b', 'a/b/c', 'a/d']);
    expect(entries[0]).toMatchObject({ kind: 'folder', mode: 0o700 });
  });
});

describe('the stores of the runtimes', () => {
  it('link each layer to where it lies in the node image', async () => {
    const image = await makeImage();
    const links = [...containerdStore([image], '/layers'), ...dockerStore([image], '/layers')].filter(
      (entry) => entry.kind === 'link',
    );
    const target = `/layers/${image.folder}`;
    expect(links.find(({ path }) => path.endsWith('snapshots/1/fs'))?.target).toBe(target);
    expect(links.find(({ path }) => /^overlay2\/[0-9a-f]{64}\/diff$/.test(path))?.target).toBe(target);
  });

  it('give docker a short name for each layer that leads back to it', async () => {
    const image = await makeImage();
    const entries = dockerStore([image], '/layers');
    const id = image.layer.digest.slice('sha256:'.length);
    const link = entries.find(({ path }) => path === `overlay2/${id}/link`);
    const name = link?.kind === 'file' && Buffer.isBuffer(link.content) ? link.content.toString() : '';
    expect(name).toMatch(/^[A-Z2-7]{26}$/);
    expect(entries.find(({ path }) => path === `overlay2/l/${name}`)).toMatchObject({ target: `../${id}/diff` });
  });

  it('hold manifest and config whole, and the layer as an empty file', async () => {
    const image = await makeImage();
    const blobs = containerdStore([image], '/layers').flatMap((entry) =>
      entry.kind === 'file' && entry.path.includes('/blobs/')
        ? [Buffer.isBuffer(entry.content) ? entry.content.length : -1]
        : [],
    );
    expect(blobs).toEqual([image.manifest.bytes.length, image.config.bytes.length, 0]);
  });

  // Values printed by Go's encoding/binary documentation and by hand: 300 = 0b10_0101100.
  it.each([
    [0, '00'],
    [127, '7f'],
    [300, 'ac02'],
    [2 ** 40, '808080808020'],
  ])('count %d as Go does', (value, hex) => {
    expect(uvarint(value).toString('hex')).toBe(hex);
    expect(varint(value / 2).toString('hex')).toBe(uvarint(value).toString('hex'));
  });
});

describe('the layer of a root file system', () => {
  it('loses what belongs to one machine or one moment, and is the same when made of itself', async () => {
    const from = join(folder.path, 'root.tar');
    await writeTar(
      from,
      [
        ...[text('etc/hostname', 'builder'), text('etc/machine-id', '0123'), text('etc/passwd', 'root')],
        ...[text('var/log/dpkg.log', 'today'), text('dev/null', ''), text('etc/ssh/ssh_host_rsa_key', 'secret')],
        { kind: 'link', path: 'etc/systemd/system/multi-user.target.wants/docker.service', target: '/usr/x' },
        text('usr/sbin/nft', 'not an ELF file', 0o755),
      ],
      never,
    );
    const to = join(folder.path, 'layer.tar');
    const layer = await writeRootLayer(from, to, never);
    const files = await readTar(to);
    expect([...files.keys()].sort()).toEqual(['etc/machine-id', 'etc/passwd', 'usr/sbin/nft']);
    expect(files.get('etc/machine-id')?.length).toBe(0);
    expect(layer.tree.files.get('usr/sbin/nft')?.content.toString()).toBe('not an ELF file');
    const again = await writeRootLayer(to, join(folder.path, 'again.tar'), never);
    expect(again.sha256).toBe(layer.sha256);
  });

  it("has dpkg's database outside of what each node has a copy of, where dpkg finds it by a link", async () => {
    const from = join(folder.path, 'root.tar');
    const list = 'var/lib/dpkg/info/libc6.list';
    await writeTar(
      from,
      [
        ...[
          text('var/lib/dpkg/status', 'Package: libc6'),
          text(list, '/usr/lib/libc.so.6'),
          text('var/lib/x', 'stays'),
        ],
        text('var/lib/dpkg-elsewhere', 'stays too'),
      ],
      never,
    );
    const to = join(folder.path, 'layer.tar');
    const layer = await writeRootLayer(from, to, never);
    const root = join(folder.path, 'root');
    await mkdir(root);
    await promisify(execFile)('tar', ['-xf', to, '-C', root]);
    expect(await readlink(join(root, 'var/lib/dpkg'))).toBe('/usr/lib/sysimage/dpkg');
    const database = join(root, 'usr/lib/sysimage/dpkg');
    expect((await readdir(database, { recursive: true })).sort()).toEqual(['info', 'info/libc6.list', 'status']);
    expect((await readdir(join(root, 'var/lib'))).sort()).toEqual(['dpkg', 'dpkg-elsewhere', 'x']);
    // Made of itself: the link stays one.
    const again = await writeRootLayer(to, join(folder.path, 'again.tar'), never);
    expect(again.sha256).toBe(layer.sha256);
  });

  it('is refused when the file is not a tar', async () => {
    const from = join(folder.path, 'noise');
    await writeFile(from, Buffer.alloc(2048, 7));
    await expect(writeRootLayer(from, join(folder.path, 'out.tar'), never)).rejects.toThrow();
  });

  it.each([
    ['./', ''],
    ['.', ''],
    ['./usr/bin/', 'usr/bin'],
    ['/etc/.pwd.lock', 'etc/.pwd.lock'],
  ])('reads the name %j as %j', (name, path) => {
    expect(cleanPath(name)).toBe(path);
  });
});

describe('names of images', () => {
  // Printed by kubeadm v1.36.3, 2026-11-21, with a warning that it prints without network.
  const printed = `W1121 14:57:02.1 version.go:108] could not fetch a Kubernetes version from the internet
registry.k8s.io/kube-apiserver:v1.36.3
registry.k8s.io/coredns/coredns:v1.14.2
registry.k8s.io/pause:3.10.2
registry.k8s.io/etcd:3.6.8-0
`;

  it('are read from what kubeadm prints, without its warnings', () => {
    const names = parseImageNames(printed);
    expect(names).toHaveLength(4);
    expect(names.map(programOfImage)).toEqual(['kube-apiserver', 'coredns', 'pause', 'etcd']);
    expect(pauseImageOf(names)).toBe('registry.k8s.io/pause:3.10.2');
  });

  it('lead to no program when nothing of the bundle is meant', () => {
    expect(programOfImage('registry.k8s.io/kube-dns:1')).toBeUndefined();
  });
});

describe('the key of a node image', () => {
  it('differs with each input', () => {
    const base = { bundleDigest: 'a', rootfsSha256: 'b', arch: 'amd64' };
    const keys = [base, { ...base, bundleDigest: 'c' }, { ...base, rootfsSha256: 'c' }, { ...base, arch: 'arm64' }].map(
      nodeImageKey,
    );
    expect(new Set(keys).size).toBe(4);
    expect(nodeImageKey({ ...base })).toBe(keys[0]);
  });
});
