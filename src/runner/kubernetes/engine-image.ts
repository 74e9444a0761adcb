import { lstat, readdir, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';

import {
  composeImage,
  withParents,
  writeImageArchive,
  writeRootLayer,
  writeTar,
  type ImageLayer,
  type TarEntry,
} from '../../cluster/node-image/index.js';
import { MkCiError } from '../../errors.js';
import { packageClosure } from './package-closure.js';

export interface EngineImageOptions {
  /** With tag, such as `my-project-ci:dev`. */
  readonly name: string;
  /** Tar of a root file system with a C library and a shell. */
  readonly rootfs: string;
  /** Folder of the mk-ci package. */
  readonly packageFolder: string;
  /** Program of Node.js. */
  readonly node: string;
  /** Program, put into PATH. */
  readonly kubectl: string;
  /** Folder of `mk-ci.yaml`; becomes the working folder of the pods. */
  readonly project: string;
  readonly architecture: 'amd64' | 'arm64';
  /** Receives the archive. */
  readonly out: string;
  readonly workFolder: string;
  readonly signal: AbortSignal;
}

const PACKAGE = 'opt/mk-ci/node_modules';
export const PROJECT_FOLDER = '/project';
/** Of the project: history and results are not needed to run its suites. */
const LEFT_OUT = ['.git', '.mk-ci'];

/**
 * Makes the image that pods of `run --engine=kubernetes` start from, without a container engine: a root file system, Node.js,
 * mk-ci with the packages it needs, kubectl, and the project with whatever lies in its folder.
 *
 * @returns id of the image and size of the archive
 * @throws {MkCiError} `IMG_BAD_ROOTFS`, `HOST_DISK_FULL`, `HOST_PERMISSION`
 */
export async function buildEngineImage(
  options: EngineImageOptions,
): Promise<{ readonly digest: string; readonly sizeBytes: number }> {
  const { name, out, workFolder, signal } = options;
  const rootFile = join(workFolder, 'root.tar');
  const root = await writeRootLayer(options.rootfs, rootFile, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    if (error instanceof MkCiError) throw error;
    throw new MkCiError('IMG_BAD_ROOTFS', { message: options.rootfs, cause: error });
  });
  const layers: ImageLayer[] = [
    { digest: `sha256:${root.sha256}`, sizeBytes: root.sizeBytes, inodes: root.inodes, file: rootFile },
    await writeLayer(await toolEntries(options), join(workFolder, 'tools.tar'), signal),
    await writeLayer(
      await folderEntries(options.project, PROJECT_FOLDER.slice(1), LEFT_OUT),
      join(workFolder, 'project.tar'),
      signal,
    ),
  ];
  const image = composeImage(
    fullImageName(name),
    {
      architecture: options.architecture,
      entrypoint: ['/usr/local/bin/mk-ci'],
      env: ['HOME=/root'],
      workingDir: PROJECT_FOLDER,
    },
    layers,
  );
  const { sizeBytes } = await writeImageArchive(out, [image], signal);
  return { digest: image.config.digest, sizeBytes };
}

/** The name under which runtimes keep it: `a:1` is `docker.io/library/a:1`. */
export function fullImageName(name: string): string {
  const [first = '', ...rest] = name.split('/');
  if (rest.length > 0 && (/[.:]/.test(first) || first === 'localhost')) return name;
  return rest.length === 0 ? `docker.io/library/${name}` : `docker.io/${name}`;
}

async function writeLayer(entries: readonly TarEntry[], file: string, signal: AbortSignal): Promise<ImageLayer> {
  const all = withParents(entries);
  const { sha256, sizeBytes } = await writeTar(file, all, signal);
  return { digest: `sha256:${sha256}`, sizeBytes, inodes: all.length, file };
}

async function toolEntries({ packageFolder, node, kubectl }: EngineImageOptions): Promise<TarEntry[]> {
  const entries: TarEntry[] = [
    await programEntry(node, 'usr/local/bin/node'),
    await programEntry(kubectl, 'usr/local/bin/kubectl'),
    { kind: 'link', path: 'usr/local/bin/mk-ci', target: `/${PACKAGE}/mk-ci/bin/mk-ci.js` },
    ...(await fileEntry(join(packageFolder, 'package.json'), `${PACKAGE}/mk-ci/package.json`)),
  ];
  for (const part of ['bin', 'dist']) {
    entries.push(...(await folderEntries(join(packageFolder, part), `${PACKAGE}/mk-ci/${part}`, [])));
  }
  for (const [path, { folder }] of await packageClosure(packageFolder)) {
    // Packages inside it that it does not need itself are of others, which have their own place.
    entries.push(...(await folderEntries(folder, `${PACKAGE}/${path}`, ['node_modules'])));
  }
  return entries;
}

async function programEntry(file: string, path: string): Promise<TarEntry> {
  const real = await realpath(file);
  return { kind: 'file', path, content: { file: real, sizeBytes: (await lstat(real)).size }, mode: 0o755 };
}

/** @param leftOut names at the top of the folder */
async function folderEntries(folder: string, path: string, leftOut: readonly string[]): Promise<TarEntry[]> {
  const found: TarEntry[] = [{ kind: 'folder', path }];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (leftOut.includes(entry.name)) continue;
    const [from, to] = [join(folder, entry.name), `${path}/${entry.name}`];
    if (entry.isDirectory()) found.push(...(await folderEntries(from, to, [])));
    else found.push(...(await fileEntry(from, to)));
  }
  return found;
}

/** A link whose target lies outside is taken as what it leads to only by name, as `cp -d` does. Sockets and pipes are left out. */
async function fileEntry(file: string, path: string): Promise<TarEntry[]> {
  const info = await lstat(file);
  if (info.isSymbolicLink()) return [{ kind: 'link', path, target: await readlink(file) }];
  if (!info.isFile()) return [];
  const mode = (info.mode & 0o111) === 0 ? 0o644 : 0o755;
  return [{ kind: 'file', path, content: { file, sizeBytes: info.size }, mode }];
}
