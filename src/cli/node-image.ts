import { Command, Option } from 'commander';

import { DEFAULT_KUBERNETES_VERSION } from '../cluster/bundle/index.js';
import { createNodeImageStore, IMAGE_ENGINES, type ImageEngine, type NodeImage } from '../cluster/node-image/index.js';
import { isMkCiError, MkCiError } from '../errors.js';
import { exec } from '../exec.js';
import { foldersOf } from '../files.js';
import type { CliContext } from './command.js';
import { openBundles } from './compose.js';
import { createStepProgress } from './step-progress.js';

interface BuildFlags {
  readonly kubernetesVersion: string;
  readonly engine: ImageEngine | 'auto' | 'none';
  readonly rootfs?: string;
  readonly base?: string;
  readonly from?: string;
  readonly json?: true;
}

/** `mk-ci node-image …` */
export function build(context: CliContext): Command {
  const command = new Command('node-image')
    .description('image of cluster nodes: Debian, the bundle and its images, unpacked')
    .addHelpText(
      'after',
      '\nExamples:\n  mk-ci node-image build\n  mk-ci node-image build --engine podman --rootfs ./root.tar\n  mk-ci node-image list --json\n',
    );

  command
    .command('build')
    .description('make the node image of a Kubernetes version, unless it is in the cache, and load it')
    .addHelpText('after', '\nExample:\n  mk-ci node-image build --engine podman --rootfs ./root.tar\n')
    .option('--kubernetes-version <version>', 'full version', DEFAULT_KUBERNETES_VERSION)
    .addOption(
      new Option('--engine <engine>', 'engine to load it into; auto: docker, else podman; none: only make the archive')
        .choices(['auto', ...IMAGE_ENGINES, 'none'])
        .default('auto'),
    )
    .addOption(new Option('--rootfs <file>', 'tar of a root file system to begin with').conflicts('base'))
    .option('--base <image>', 'image of the engine to begin with')
    .option('--from <dir|url>', 'mirror of the bundle to ask first')
    .option('--json', 'print one object')
    .action(async (flags: BuildFlags) => {
      const { kubernetesVersion, engine, rootfs, base, json, from } = flags;
      const store = openNodeImages(context, from);
      using progress = createStepProgress(context, { prefix: 'node-image: ' });
      const image = await store.ensure(kubernetesVersion, {
        signal: context.signal,
        onStep: progress.onStep,
        rootfs,
        ...(base === undefined ? {} : { base: { image: base, engine: engine === 'podman' ? 'podman' : 'docker' } }),
      });
      const startedAt = performance.now();
      const taken = await load(engine, (candidate) => store.load(image, candidate, context.signal));
      if (taken?.loaded === true) {
        const durationMs = performance.now() - startedAt;
        progress.onStep({ name: `loaded into ${taken.engine}`, state: 'ok', durationMs, message: image.reference });
      }
      await context.stdout(json ? toJson({ ...image, ...(taken ?? {}) }) : `${image.reference}\n`);
    });

  command
    .command('list')
    .description('node images in the cache')
    .addHelpText('after', '\nExample:\n  mk-ci node-image list --json\n')
    .option('--json', 'print an array, one object an image')
    .action(async ({ json }: { json?: true }) => {
      const images = await openNodeImages(context).list();
      await context.stdout(json ? toJson(images) : formatList(images));
    });
  return command;
}

function openNodeImages(context: CliContext, from?: string): ReturnType<typeof createNodeImageStore> {
  return createNodeImageStore({
    cacheFolder: foldersOf(context.env).cache,
    bundles: openBundles(context, { from }),
    exec,
    env: context.env,
    cwd: context.cwd,
  });
}

/** Loads into the engine asked for; `auto` takes the first that works. */
async function load(
  engine: BuildFlags['engine'],
  loadInto: (engine: ImageEngine) => Promise<boolean>,
): Promise<{ engine: ImageEngine; loaded: boolean } | undefined> {
  if (engine === 'none') return undefined;
  if (engine !== 'auto') return { engine, loaded: await loadInto(engine) };
  const refusals: MkCiError[] = [];
  for (const candidate of IMAGE_ENGINES) {
    try {
      return { engine: candidate, loaded: await loadInto(candidate) };
    } catch (error) {
      if (!isMkCiError(error, 'IMG_NO_ENGINE')) throw error;
      refusals.push(error);
    }
  }
  throw new MkCiError('IMG_NO_ENGINE', { message: refusals.map(({ message }) => message).join('; ') });
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function formatList(images: readonly NodeImage[]): string {
  if (images.length === 0) return 'no node images\n';
  return images
    .map(({ reference, sizeBytes, buildSeconds, folder }) => {
      return `${reference.padEnd(32)} ${(sizeBytes / 1e6).toFixed(1).padStart(8)} MB  made in ${buildSeconds} s  ${folder}\n`;
    })
    .join('');
}
