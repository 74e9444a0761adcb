import { stat } from 'node:fs/promises';

import { MkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { Bundle, BundleProgram } from '../bundle/index.js';
import { buildImage, type ComponentImage } from './component-image.js';
import type { TarEntry } from './tar.js';

/** The images that kubeadm asks for, made of the bundle's programs. */

const LIST_TIMEOUT_MS = 60_000;

/**
 * Names of the images for a version, as its own kubeadm prints them: nothing to keep in step with releases.
 *
 * @throws {MkCiError} `HOST_COMMAND_FAILED`
 */
export async function listImageNames(bundle: Bundle, exec: Exec, signal: AbortSignal): Promise<string[]> {
  const argv = [
    bundle.path('kubeadm'),
    'config',
    'images',
    'list',
    '--kubernetes-version',
    bundle.kubernetesVersion,
  ] as const;
  const { stdout } = await exec(argv, { timeoutMs: LIST_TIMEOUT_MS, signal });
  return parseImageNames(stdout);
}

/** Lines that are names with a tag; kubeadm's warnings are not. Pure. */
export function parseImageNames(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^[a-z0-9][\w.:/-]*\/[\w./-]+:[\w.-]+$/.test(line));
}

/** Program of an image by the last part of its name: `registry.k8s.io/coredns/coredns:v1.14.2` holds coredns. Pure. */
export function programOfImage(name: string): BundleProgram | undefined {
  const word = name.slice(name.lastIndexOf('/') + 1, name.lastIndexOf(':'));
  return IMAGE_PROGRAMS.find((program) => program === word);
}

const IMAGE_PROGRAMS = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'coredns',
  'pause',
  'etcd',
] as const satisfies readonly BundleProgram[];

export function pauseImageOf(names: readonly string[]): string {
  return names.find((name) => programOfImage(name) === 'pause') ?? '';
}

export interface BuildKubernetesImagesOptions {
  readonly bundle: Bundle;
  readonly names: readonly string[];
  readonly arch: string;
  /** iptables and what it needs, from the node's root file system. */
  readonly proxyFiles: readonly TarEntry[];
  readonly workFolder: string;
  readonly signal: AbortSignal;
}

/** @throws {MkCiError} `BND_NO_SOURCE` when kubeadm wants an image that no program of the bundle is for */
export async function buildKubernetesImages(options: BuildKubernetesImagesOptions): Promise<ComponentImage[]> {
  const { bundle, names, arch, proxyFiles, workFolder, signal } = options;
  const images: ComponentImage[] = [];
  for (const name of names) {
    const program = programOfImage(name);
    if (program === undefined) {
      throw new MkCiError('BND_NO_SOURCE', { message: `kubeadm ${bundle.kubernetesVersion} wants ${name}` });
    }
    // CoreDNS and pause lie where their own images have them; manifests of users count on it.
    const path = program === 'coredns' || program === 'pause' ? program : `usr/local/bin/${program}`;
    const file = bundle.path(program);
    const binary: TarEntry = { kind: 'file', path, mode: 0o755, content: { file, sizeBytes: (await stat(file)).size } };
    images.push(
      await buildImage({
        name,
        architecture: arch,
        entrypoint: [`/${path}`],
        files:
          program === 'pause' ? [binary] : [...COMMON_FILES, ...(program === 'kube-proxy' ? proxyFiles : []), binary],
        workFolder,
        signal,
      }),
    );
  }
  return images;
}

const COMMON_FILES: readonly TarEntry[] = [
  {
    kind: 'file',
    path: 'etc/passwd',
    content: Buffer.from('root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n'),
  },
  { kind: 'file', path: 'etc/group', content: Buffer.from('root:x:0:\nnobody:x:65534:\n') },
  { kind: 'folder', path: 'tmp', mode: 0o1777 },
];
