import { Command } from 'commander';

import type { CliContext } from './command.js';
import { importCommand } from './flake/import.js';
import { ratesCommand } from './flake/rates.js';
import { recordCommand } from './flake/record.js';

/** `mk-ci flake …`: the database of test results. */
export function build(context: CliContext): Command {
  return new Command('flake')
    .description('history of every test: rates, evidence, verdicts')
    .addCommand(recordCommand(context))
    .addCommand(importCommand(context))
    .addCommand(ratesCommand(context));
}
