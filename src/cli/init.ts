import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { Command } from 'commander';

import { CONFIG_FILE, renderStarterConfig, type ProjectFacts } from '../config/index.js';
import { MkCiError } from '../errors.js';
import { writeFileAtomically } from '../files.js';
import type { CliContext } from './command.js';

export function build(context: CliContext): Command {
  return new Command('init')
    .description('write a commented mk-ci.yaml for this project')
    .option('--dry-run', 'print the file in place of writing it')
    .option('--force', 'replace a file that is there')
    .addHelpText('after', '\nExamples:\n  mk-ci init\n  mk-ci init --dry-run\n')
    .action(async (options: { readonly dryRun?: boolean; readonly force?: boolean }) => {
      const text = renderStarterConfig(await lookAt(context.cwd));
      if (options.dryRun === true) {
        await context.stdout(text);
        return;
      }
      const path = join(context.cwd, CONFIG_FILE);
      if (options.force !== true && (await exists(path))) {
        throw new MkCiError('CLI_USAGE', {
          message: `${path} is there already`,
          advice: 'Edit it, or replace it with mk-ci init --force.',
        });
      }
      await writeFileAtomically(path, text);
      context.stderr(`wrote ${path}; next: mk-ci run --dry-run, then mk-ci run\n`);
    });
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
