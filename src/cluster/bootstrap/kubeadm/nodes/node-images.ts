import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';

import { extract } from 'tar-stream';

import type { Machine } from '../../../../drivers/driver.js';
import { MkCiError, hostErrorOf, systemErrorCode } from '../../../../errors.js';
import { lastLines } from '../../../../exec.js';
import type { NodeWork } from './cluster-nodes.js';
import type { RuntimeName } from '../settings.js';

/** Images from archives of this host, or from registries, in the stores of nodes. */

/** An image as the manifest of an archive tells of it. */
export interface ArchivedImage {
  /** `sha256:…`, the id in every runtime. */
  readonly id: string;
  /** Full names, such as `docker.io/library/a:1`. */
  readonly names: readonly string[];
}

/**
 * Reads `manifest.json` of an archive as `docker save` and `podman save` write it.
 *
 * @throws {MkCiError} `IMG_LOAD_FAILED` for anything else
 * @see {@link https://github.com/moby/docker-image-spec/blob/main/v1.2.md#combined-image-json--filesystem-changeset-format}
 */
export function readArchiveManifest(text: string): ArchivedImage[] {
  const bad = (): never => {
    throw new MkCiError('IMG_LOAD_FAILED', {
      message: 'the file is not an archive of images',
      advice: 'Make it with docker save or podman save (format docker-archive).',
    });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return bad();
  }
  if (!Array.isArray(value) || value.length === 0) return bad();
  return value.map((entry: unknown) => {
    const { Config: config, RepoTags: tags } = (entry ?? {}) as {
      readonly Config?: unknown;
      readonly RepoTags?: unknown;
    };
    const hash = typeof config === 'string' ? /([0-9a-f]{64})(?:\.json)?$/.exec(config)?.[1] : undefined;
    if (hash === undefined) return bad();
    const names = Array.isArray(tags) ? tags.filter((tag) => typeof tag === 'string') : [];
    const wrong = names.find((name) => !NAME.test(name));
    if (wrong !== undefined) {
      throw new MkCiError('IMG_LOAD_FAILED', {
        message: `${JSON.stringify(wrong.slice(0, 80))} is no name of an image`,
      });
    }
    return { id: `sha256:${hash}`, names: names.map(fullName) };
  });
}

/** One word for the shell of a node, and no option. */
const NAME = /^\w[\w.:/@-]{0,254}$/;

/** A small file of a tar; '' when it has none of this name. @throws {MkCiError} `IMG_LOAD_FAILED` when it can not be read as one */
export async function readFromTar(path: string, name: string, signal: AbortSignal): Promise<string> {
  let content = '';
  const entries = extract();
  entries.on('entry', (header, stream, next) => {
    if (header.name.replace(/^\.\//, '') !== name) {
      stream.resume();
      stream.once('end', next);
      return;
    }
    text(stream).then((found) => {
      content = found;
      next();
    }, next);
  });
  try {
    await pipeline(createReadStream(path), entries, { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (systemErrorCode(error) !== undefined && systemErrorCode(error) !== 'ENOENT')
      throw hostErrorOf(error, path) ?? error;
    throw new MkCiError('IMG_LOAD_FAILED', { message: `${path} can not be read as an archive`, cause: error });
  }
  return content;
}

/** The name under which runtimes keep it: `a:1` is `docker.io/library/a:1`. */
export function fullName(name: string): string {
  const [first = '', ...rest] = name.split('/');
  if (rest.length > 0 && (/[.:]/.test(first) || first === 'localhost')) return name;
  return rest.length === 0 ? `docker.io/library/${name}` : `docker.io/${name}`;
}

/** A command that prints `id name` of an image that the store has, and nothing else. */
function renderIdentify(runtime: RuntimeName, name: string): string {
  const short = name.replace(/^docker\.io\/(library\/)?/, '');
  switch (runtime) {
    case 'containerd':
      // The target is a manifest, whose config is the id, or an index of manifests, of which those for this platform are there.
      return [
        `d=$(ctr -n k8s.io images ls name==${name} | awk 'NR==2 { print $3 }')`,
        `m=$(ctr -n k8s.io content get "$d" | tr -d ' \\n')`,
        `case $m in *'"manifests":'*) d=$(printf %s "$m" | grep -o 'sha256:[0-9a-f]*') ;; esac`,
        'for manifest in $d; do',
        `  m=$(ctr -n k8s.io content get "$manifest" 2>/dev/null | tr -d ' \\n')`,
        `  id=$(printf %s "$m" | grep -o '"config":{[^}]*}' | grep -o 'sha256:[0-9a-f]*') || continue`,
        '  ctr -n k8s.io content get "$id" >/dev/null 2>&1 && break',
        'done',
        `printf '%s %s\\n' "$id" ${name}`,
      ].join('\n');
    case 'docker':
      return `printf '%s %s\\n' "$(docker image inspect --format '{{.Id}}' ${short})" ${name}`;
    case 'cri-o':
      return `printf 'sha256:%s %s\\n' "$(podman image inspect --format '{{.Id}}' ${short})" ${name}`;
  }
}

/** What takes an archive from its standard input. `ctr` names images in full and takes them without unpacking all platforms. */
const IMPORT: Readonly<Record<RuntimeName, string>> = {
  containerd: 'ctr -n k8s.io images import --digests=false -',
  docker: 'docker load -q',
  'cri-o': 'podman load -q',
};

/** What gets an image of this platform, by the mirrors and the registries without TLS that the cluster was made with. */
const PULL: Readonly<Record<RuntimeName, string>> = {
  containerd: 'ctr -n k8s.io images pull --skip-metadata --hosts-dir /etc/containerd/certs.d',
  docker: 'docker pull -q',
  'cri-o': 'podman pull -q',
};

/**
 * The full name of an image in a registry, with its tag: `app` is `docker.io/library/app:latest`.
 *
 * @throws {MkCiError} `IMG_LOAD_FAILED` when it is none
 */
export function readImageName(text: string): string {
  if (!NAME.test(text)) {
    throw new MkCiError('IMG_LOAD_FAILED', {
      message: `${JSON.stringify(text.slice(0, 80))} is no name of an image`,
      advice: 'Name it like registry.example/team/app:1.',
    });
  }
  const name = fullName(text);
  return /[:@][^/]*$/.test(name.slice(name.indexOf('/'))) ? name : `${name}:latest`;
}

/**
 * Lets the runtime of one node get an image from its registry.
 *
 * @param name in full
 * @returns its id, `sha256:…`
 * @throws {MkCiError} `IMG_LOAD_FAILED` with the last words of the runtime
 */
export async function pullIntoNode(
  { machine, node }: { readonly machine: Machine; readonly node: string },
  name: string,
  { settings, signal, deadline }: NodeWork,
): Promise<string> {
  const script = [`${PULL[settings.runtime]} ${name} >/dev/null`, renderIdentify(settings.runtime, name)];
  const { exitCode, stdout, stderr } = await machine.exec(['sh', '-e', '-c', script.join('\n')], {
    ...{ signal, timeoutMs: Math.ceil(deadline.leftMs()), allowFailure: true },
  });
  const id = /^sha256:[0-9a-f]{64}(?= )/m.exec(stdout)?.[0];
  if (exitCode === 0 && id !== undefined) return id;
  throw new MkCiError('IMG_LOAD_FAILED', {
    message: `${node} can not get ${name}: ${lastLines(stderr, 1).join('') || `exit code ${exitCode ?? 'none'}`}`,
    advice:
      'Look at the name, and at registryMirrors and insecureRegistries of the cluster. Where a registry asks who you are, ' +
      'docker pull the image here and load it with --from docker.',
  });
}

/** @throws {MkCiError} `IMG_LOAD_FAILED` when nodes were given different images under one name */
export function checkSameImage(name: string, found: readonly { readonly node: string; readonly id: string }[]): void {
  const first = found[0];
  const other = found.find(({ id }) => id !== first?.id);
  if (first === undefined || other === undefined) return;
  throw new MkCiError('IMG_LOAD_FAILED', {
    message: `${name} is ${first.id} in ${first.node}, ${other.id} in ${other.node}`,
    advice: 'The name was given to another image meanwhile: pull again, or name the image by its digest.',
  });
}

/**
 * Puts the images of an archive into the store of one node, and looks whether they are there under their ids.
 *
 * @throws {MkCiError} `IMG_LOAD_FAILED`
 */
export async function loadIntoNode(
  { machine, node }: { readonly machine: Machine; readonly node: string },
  { archive, images }: { readonly archive: string; readonly images: readonly ArchivedImage[] },
  work: NodeWork,
): Promise<void> {
  const { settings, signal, deadline } = work;
  const names = images.flatMap((image) => image.names);
  const script = [
    `${IMPORT[settings.runtime]} >/dev/null`,
    ...names.map((name) => renderIdentify(settings.runtime, name)),
  ];
  const { stdout } = await machine.exec(['sh', '-e', '-c', script.join('\n')], {
    ...{ inputFile: archive, signal, timeoutMs: Math.ceil(deadline.leftMs()) },
  });
  const found = new Map(stdout.split('\n').map((line) => [line.split(' ')[1] ?? '', line.split(' ')[0] ?? '']));
  for (const image of images) {
    const wrong = image.names.find((name) => found.get(name) !== image.id);
    if (wrong !== undefined) {
      throw new MkCiError('IMG_LOAD_FAILED', {
        message: `${node} has ${wrong} as ${found.get(wrong) || 'nothing'}, not as ${image.id}`,
      });
    }
  }
}
