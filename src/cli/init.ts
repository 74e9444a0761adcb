import { access, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { Command, Option } from 'commander';

import {
  CI_SYSTEMS,
  CONFIG_FILE,
  renderPipeline,
  renderStarterConfig,
  type CiSystem,
  type ProjectFacts,
} from '../config/index.js';
import { MkCiError } from '../errors.js';
import { writeFileAtomically } from '../files.js';
import type { CliContext } from './command.js';

export function build(context: CliContext): Command {
  return new Command('init')
    .description('write a commented mk-ci.yaml for this project')
    .option('--dry-run', 'print the file in place of writing it')
    .option('--force', 'replace a file that is there')
    .addOption(new Option('--ci <system>', 'write a pipeline that runs mk-ci, too').choices([...CI_SYSTEMS]))
    .addHelpText('after', '\nExamples:\n  mk-ci init\n  mk-ci init --dry-run\n  mk-ci init --ci github\n')
    .action(async (options: InitOptions) => {
      const pipeline = options.ci === undefined ? [] : renderPipeline(options.ci);
      const text = renderStarterConfig(await lookAt(context.cwd));
      if (options.dryRun === true) {
        await context.stdout([text, ...pipeline.map((file) => `# ${file.path}\n${file.text}`)].join('\n'));
        return;
      }
      // A project that has its configuration may still want a pipeline.
      const hasConfig = await exists(join(context.cwd, CONFIG_FILE));
      const config = hasConfig && pipeline.length > 0 && options.force !== true ? [] : [{ path: CONFIG_FILE, text }];
      const files = [...config, ...pipeline].map((file) => ({ ...file, path: join(context.cwd, file.path) }));
      for (const { path } of files) {
        if (options.force === true || !(await exists(path))) continue;
        throw new MkCiError('CLI_USAGE', {
          message: `${path} is there already`,
          advice: 'Edit it, or replace it with mk-ci init --force.',
        });
      }
      for (const file of files) {
        await mkdir(dirname(file.path), { recursive: true });
        await writeFileAtomically(file.path, file.text);
      }
      const written = files.map(({ path }) => path).join(', ');
      context.stderr(`wrote ${written}; next: mk-ci run --dry-run, then mk-ci run\n`);
    });
}

interface InitOptions {
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly ci?: CiSystem;
}

async function lookAt(folder: string): Promise<ProjectFacts> {
  const has = (name: string) => exists(join(folder, name));
  const python = await Promise.all(['pyproject.toml', 'pytest.ini', 'requirements.txt'].map(has));
  return {
    hasGoModule: await has('go.mod'),
    javascriptRunners: await javascriptRunners(join(folder, 'package.json')),
    hasPython: python.includes(true),
  };
}

const RUNNER_PACKAGES = { vitest: 'vitest', jest: 'jest', playwright: '@playwright/test' } as const;

async function javascriptRunners(manifest: string): Promise<ProjectFacts['javascriptRunners']> {
  let text: string;
  try {
    text = await readFile(manifest, 'utf8');
  } catch {
    return []; // no JavaScript project
  }
  // A look for names is enough for a suggestion, and works on a manifest that is being edited.
  return (['vitest', 'jest', 'playwright'] as const).filter((runner) => text.includes(`"${RUNNER_PACKAGES[runner]}":`));
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
