import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { Command, Option } from 'commander';

import type { ClusterCallOptions } from '../cluster/cluster.js';
import type { ClusterNodesManager } from '../cluster/index.js';
import { MkCiError } from '../errors.js';
import { exec, lastLines } from '../exec.js';
import { createTemporaryFolder } from '../files.js';
import { parseSeconds } from './cluster-calls.js';
import type { CliContext } from './command.js';

const SAVE_MS = 10 * 60_000;

interface LoadFlags {
  readonly from: 'archive' | 'docker' | 'podman' | 'registry' | 'auto';
  readonly timeout?: number;
  readonly json: boolean;
}

/** `mk-ci cluster image …`; `open` is called when one of its commands runs. */
export function buildImageCommand(
  context: CliContext,
  open: () => ClusterNodesManager,
  callOptions: (flags: { readonly timeout?: number }) => ClusterCallOptions,
): Command {
  const load = async (cluster: string, source: string, flags: LoadFlags): Promise<readonly string[]> => {
    if (flags.from === 'registry') return [await open().pullImage(cluster, source, callOptions(flags))];
    const path = resolve(context.cwd, source);
    const from = flags.from === 'auto' ? ((await isFile(path)) ? 'archive' : 'docker') : flags.from;
    await using temporary = await createTemporaryFolder('mk-ci-image-');
    const archive = from === 'archive' ? path : join(temporary.path, 'image.tar');
    if (from !== 'archive') await save(from, source, archive, context.signal);
    return await open().loadImages(cluster, archive, callOptions(flags));
  };
  const image = new Command('image').summary('put images into the nodes of a cluster');
  image
    .command('load <cluster> <source>')
    .description('load an archive, or an image of docker, podman or a registry, into all nodes; verified by image id')
    .addOption(
      new Option(
        '--from <kind>',
        'what the source is; auto: an archive when there is such a file, else an image of docker',
      )
        .choices(['auto', 'archive', 'docker', 'podman', 'registry'])
        .default('auto'),
    )
    .addOption(new Option('--timeout <seconds>', 'deadline for the whole call').argParser(parseSeconds))
    .addOption(new Option('--json', 'print the names').default(false))
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci cluster image load demo app:dev\n  mk-ci cluster image load demo app.tar\n' +
        '  mk-ci cluster image load demo registry.example/team/app:1 --from registry',
    )
    .action(async (cluster: string, source: string, flags: LoadFlags) => {
      const names = await load(cluster, source, flags);
      await context.stdout(flags.json ? `${JSON.stringify(names)}\n` : names.map((name) => `${name}\n`).join(''));
    });
  return image;
}

/** @throws {MkCiError} `IMG_LOAD_FAILED` with the words of the engine */
async function save(engine: 'docker' | 'podman', image: string, to: string, signal: AbortSignal): Promise<void> {
  const result = await exec([engine, 'save', '-o', to, image], { signal, allowFailure: true, timeoutMs: SAVE_MS });
  if (result.exitCode === 0) return;
  const said = lastLines(result.stderr, 1).join('');
  throw new MkCiError('IMG_LOAD_FAILED', {
    message: `${engine} save ${image}: ${said}`,
    advice: `Name a file, or an image that ${engine} has.`,
  });
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}
