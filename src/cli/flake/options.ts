import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { Option } from 'commander';

import { loadConfig } from '../../config/index.js';
import { MkCiError, isMkCiError } from '../../errors.js';
import type { Filter, FlakeStore, OwnedTest, OwnerRule, QuarantineFile } from '../../flake/index.js';
import type { CliContext } from '../command.js';

const DAY_MS = 86_400_000;

export interface DatabaseOptions {
  readonly database?: string;
}

export function databaseOption(): Option {
  return new Option('--database <file>', 'database file or postgres:// URL (default: that of mk-ci.yaml)');
}

/** The database named by the flag, else by the nearest `mk-ci.yaml`, else `.mk-ci/flake.db` below the working folder. */
export async function databaseOf({ database }: DatabaseOptions, context: Pick<CliContext, 'cwd'>): Promise<string> {
  if (database !== undefined) return locationOf(database, context.cwd);
  try {
    const config = await loadConfig({ cwd: context.cwd });
    return locationOf(config.flake.database, config.folder);
  } catch (error) {
    if (isMkCiError(error, 'CFG_NOT_FOUND')) return join(context.cwd, '.mk-ci', 'flake.db');
    throw error;
  }
}

/** A URL as it is, a path from the folder it is relative to. */
export function locationOf(database: string, folder: string): string {
  return isDatabaseUrl(database) ? database : resolve(folder, database);
}

export function isDatabaseUrl(database: string): boolean {
  return /^postgres(ql)?:\/\//.test(database);
}

/** Opens the database, hands it on and closes it, whatever happens. Renamed tests of the quarantine file are one. */
export async function withStore<T>(
  options: DatabaseOptions,
  context: CliContext,
  mode: 'read' | 'write',
  body: (store: FlakeStore) => Promise<T>,
): Promise<T> {
  const { openFlakeStore } = await import('../../flake/index.js');
  const database = await databaseOf(options, context);
  const { aliases } = await readQuarantine(context);
  if (mode === 'read' && !(await carriesAliases(database, aliases))) {
    await using writer = await openFlakeStore(database);
    await writer.setAliases(aliases);
  }
  await using store = await openFlakeStore(database, { readonly: mode === 'read' });
  const result = await body(store);
  // Tests that the body added may be old names.
  if (mode === 'write' && (Object.keys(aliases).length > 0 || !(await store.hasAliases(aliases)))) {
    await store.setAliases(aliases);
  }
  return result;
}

async function carriesAliases(database: string, aliases: Readonly<Record<string, string>>): Promise<boolean> {
  const { openFlakeStore } = await import('../../flake/index.js');
  await using store = await openFlakeStore(database, { readonly: true });
  return await store.hasAliases(aliases);
}

/** Quarantine, owners and aliases of `.mk-ci/quarantine.yaml` beside the configuration; empty without the file. */
export async function readQuarantine(context: Pick<CliContext, 'cwd'>): Promise<QuarantineFile> {
  const { parseQuarantine } = await import('../../flake/index.js');
  const path = join(await projectFolder(context), '.mk-ci', 'quarantine.yaml');
  return parseQuarantine(existsSync(path) ? readFileSync(path, 'utf8') : '', path);
}

/** Owner of a test by the quarantine file and the repository's CODEOWNERS. @param first rules that come before these */
export async function readOwners(
  context: Pick<CliContext, 'cwd'>,
  first: readonly OwnerRule[] = [],
): Promise<(test: OwnedTest) => string | undefined> {
  const { ownerOf, parseCodeOwners } = await import('../../flake/index.js');
  const { owners } = await readQuarantine(context);
  const folder = await projectFolder(context);
  const path = ['.github/CODEOWNERS', 'CODEOWNERS', 'docs/CODEOWNERS', '.gitlab/CODEOWNERS']
    .map((name) => join(folder, name))
    .find((candidate) => existsSync(candidate));
  const codeOwners = path === undefined ? [] : parseCodeOwners(readFileSync(path, 'utf8'));
  return (test) => ownerOf(test, { owners: [...first, ...owners], codeOwners });
}

async function projectFolder({ cwd }: Pick<CliContext, 'cwd'>): Promise<string> {
  try {
    return (await loadConfig({ cwd })).folder;
  } catch (error) {
    if (isMkCiError(error, 'CFG_NOT_FOUND')) return cwd;
    throw error;
  }
}

export interface WindowOptions {
  readonly days?: number;
  readonly allTime?: boolean;
}

export function windowOptions(): Option[] {
  return [
    new Option('--days <n>', 'look back this many days').argParser(positive('--days')),
    new Option('--all-time', 'look at everything there is').conflicts('days'),
  ];
}

/** Start of the window, and the words for it. */
export function windowOf(
  { days, allTime }: WindowOptions,
  defaultDays: number,
  nowMs = Date.now(),
): { readonly sinceMs?: number; readonly text: string } {
  if (allTime === true) return { text: 'over all time' };
  const count = days ?? defaultDays;
  return { sinceMs: nowMs - count * DAY_MS, text: `in the last ${count} days` };
}

export interface FilterOptions {
  readonly repository?: string;
  readonly environment?: string;
  readonly package?: string;
  readonly test?: string;
  readonly runs?: 'all' | 'base' | 'pull-requests';
}

export function filterOptions(): Option[] {
  return [
    new Option('--repository <name>', 'only this repository'),
    new Option('--environment <pattern>', 'only these environments; * stands for any text'),
    new Option('--package <pattern>', 'only tests of these packages'),
    new Option('--test <pattern>', 'only these tests'),
    new Option('--runs <kind>', 'runs to count').choices(['all', 'base', 'pull-requests']),
  ];
}

export function filterOf(options: FilterOptions, sinceMs?: number): Filter {
  const { repository, environment, package: pkg, test, runs } = options;
  return {
    ...(repository === undefined ? {} : { repository }),
    ...(environment === undefined ? {} : { environment }),
    ...(pkg === undefined ? {} : { package: pkg }),
    ...(test === undefined ? {} : { test }),
    ...(runs === undefined ? {} : { runs }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
  };
}

/** Parser of a number above 0. */
export function positive(name: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(value > 0 && Number.isFinite(value))) {
      throw new MkCiError('CLI_USAGE', { message: `${name} ${text} is not a number above 0` });
    }
    return value;
  };
}

/** Parser of a count of at least 1. */
export function wholeNumber(name: string): (text: string) => number {
  return (text) => {
    if (!/^0*[1-9]\d{0,14}$/.test(text)) {
      throw new MkCiError('CLI_USAGE', { message: `${name} ${text} is not a whole number above 0` });
    }
    return Number(text);
  };
}

/**
 * What to tell people when the window holds nothing of a history that is not empty: '' when the window is everything.
 * An old history is no reason to doubt the name of a test.
 */
export async function olderHistory(store: FlakeStore, { sinceMs }: { readonly sinceMs?: number }): Promise<string> {
  if (sinceMs === undefined) return '';
  const { readExtent } = await import('../../flake/index.js');
  const { lastDay } = await store.read((db) => readExtent(db));
  if (lastDay === undefined || (lastDay + 1) * DAY_MS > sinceMs) return '';
  return `The newest run is of ${new Date(lastDay * DAY_MS).toISOString().slice(0, 10)}: give --days or --all-time.\n`;
}

/** Colours are for a terminal on standard output. */
export function wantsColor(context: Pick<CliContext, 'env'>): boolean {
  return process.stdout.isTTY && !context.env['NO_COLOR'];
}

export async function printJson(context: CliContext, value: unknown): Promise<void> {
  await context.stdout(`${JSON.stringify(value, null, 2)}\n`);
}
