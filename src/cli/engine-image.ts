import { join, resolve } from 'node:path';

import { Command } from 'commander';

import { DEFAULT_KUBERNETES_VERSION, platformOf } from '../cluster/bundle/index.js';
import { createNodeImageStore } from '../cluster/node-image/index.js';
import { exec } from '../exec.js';
import { createTemporaryFolder, foldersOf } from '../files.js';
import { buildEngineImage } from '../runner/kubernetes/index.js';
import type { CliContext } from './command.js';
import { openBundles } from './compose.js';
import { createStepProgress } from './step-progress.js';

interface BuildFlags {
  readonly name: string;
  readonly out: string;
  readonly project: string;
  readonly rootfs?: string;
  readonly kubernetesVersion: string;
  readonly json?: true;
}

/** `mk-ci engine-image build` */
export function build(context: CliContext): Command {
  const command = new Command('engine-image')
    .description('image of the pods of mk-ci run --engine=kubernetes')
    .addHelpText('after', '\nExample:\n  mk-ci engine-image build --name my-project-ci:dev --out ci.tar\n');
  command
    .command('build')
    .description('make it of Debian, Node.js, mk-ci, kubectl and the project, as an archive; no engine is needed')
    .requiredOption('--name <name>', 'name with tag, such as my-project-ci:dev')
    .requiredOption('--out <file>', 'archive: OCI layout and docker archive in one')
    .option('--project <dir>', 'folder of mk-ci.yaml, taken as it is but for .git and .mk-ci', '.')
    .option('--rootfs <file>', 'tar of a root file system to begin with, in place of Debian')
    .option('--kubernetes-version <version>', 'version of kubectl', DEFAULT_KUBERNETES_VERSION)
    .option('--json', 'print one object')
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci engine-image build --name registry.example/ci:1 --out ci.tar && docker load -i ci.tar && docker push registry.example/ci:1\n',
    )
    .action(async (flags: BuildFlags) => {
      const { signal } = context;
      using progress = createStepProgress(context, { prefix: 'engine-image: ' });
      const { onStep } = progress;
      const bundles = openBundles(context);
      const bundle = await bundles.ensure(flags.kubernetesVersion, { parts: ['control-plane'], signal, onStep });
      const { cache } = foldersOf(context.env);
      const images = createNodeImageStore({ cacheFolder: cache, bundles, exec, env: context.env, cwd: context.cwd });
      const rootfs =
        flags.rootfs === undefined ? await images.debian({ signal, onStep }) : resolve(context.cwd, flags.rootfs);
      const out = resolve(context.cwd, flags.out);
      await using work = await createTemporaryFolder('mk-ci-engine-image-');
      const made = await buildEngineImage({
        name: flags.name,
        rootfs,
        packageFolder: join(import.meta.dirname, '..', '..'),
        node: process.execPath,
        kubectl: join(bundle.binaries, 'kubectl'),
        project: resolve(context.cwd, flags.project),
        architecture: platformOf(process.platform, process.arch).arch,
        out,
        workFolder: work.path,
        signal,
      });
      await context.stdout(
        flags.json === true
          ? `${JSON.stringify({ name: flags.name, archive: out, ...made }, undefined, 2)}\n`
          : `${flags.name}\n`,
      );
    });
  return command;
}
