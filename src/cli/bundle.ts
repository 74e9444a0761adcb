import { Command, InvalidArgumentError, Option } from 'commander';

import {
  BUNDLE_PARTS,
  DEFAULT_KUBERNETES_VERSION,
  DEFAULT_PARTS,
  formatPlatform,
  type Bundle,
  type BundlePart,
  type BundlePlan,
  type CacheEntry,
  type ManagedBundleStore,
  type Removal,
  type SourceKind,
  type VerifiedBundle,
} from '../cluster/bundle/index.js';
import { MkCiError } from '../errors.js';
import type { CliContext } from './command.js';
import { openBundles } from './compose.js';
import { createStepProgress } from './step-progress.js';

interface GetFlags {
  readonly kubernetesVersion: string;
  readonly parts: readonly BundlePart[];
  readonly from?: string;
  readonly dryRun?: true;
  readonly json?: true;
}

/** `mk-ci bundle …` */
export function build(context: CliContext): Command {
  const command = new Command('bundle')
    .description('Kubernetes programs that clusters run from: get, list, check')
    .addHelpText(
      'after',
      '\nExamples:\n  mk-ci bundle build\n  mk-ci bundle fetch --kubernetes-version v1.35.4 --from https://mirror.example/kubernetes\n  mk-ci bundle verify --json\n',
    );

  addGetCommand(command, context, {
    name: 'build',
    description: 'make a bundle: cache, mirror, release downloads, else compiled from Go modules',
    sources: ['mirror', 'release', 'go'],
  });
  addGetCommand(command, context, {
    name: 'fetch',
    description: 'like build, but never compiles: cache, mirror, release downloads',
    sources: ['mirror', 'release'],
  });

  command
    .command('list')
    .description('bundles in the cache')
    .addHelpText('after', '\nExample:\n  mk-ci bundle list --json\n')
    .option('--json', 'print an array, one object a bundle')
    .action(async ({ json }: { json?: true }) => {
      const entries = await openBundles(context).list();
      await context.stdout(json ? toJson(entries.map(listedOf)) : formatList(entries));
    });

  command
    .command('verify')
    .description('read every file of the bundles and compare it with the manifest')
    .addHelpText('after', '\nExample:\n  mk-ci bundle verify --kubernetes-version v1.36.3\n')
    .option('--kubernetes-version <version>', 'only bundles of this version')
    .option('--json', 'print an array, one object a bundle')
    .action(async ({ kubernetesVersion, json }: { kubernetesVersion?: string; json?: true }) => {
      const results = await verify(openBundles(context), kubernetesVersion, context);
      await context.stdout(json ? toJson(results) : formatVerified(results));
      const broken = brokenError(results);
      if (broken !== undefined) throw broken;
    });

  command
    .command('delete')
    .description('remove the bundles of one Kubernetes version')
    .addHelpText('after', '\nExample:\n  mk-ci bundle delete --kubernetes-version v1.35.4 --dry-run\n')
    .requiredOption('--kubernetes-version <version>', 'such as v1.36.3')
    .option('--dry-run', 'only list what would be removed')
    .option('--json', 'print an array, one object a thing removed')
    .action(
      async ({
        kubernetesVersion,
        dryRun = false,
        json,
      }: {
        kubernetesVersion: string;
        dryRun?: boolean;
        json?: true;
      }) => {
        const removals = await openBundles(context).delete(kubernetesVersion, { dryRun });
        await context.stdout(json ? toJson(removals) : formatRemovals(removals, dryRun));
      },
    );

  command
    .command('prune')
    .description('remove bundles that a larger one replaced, broken ones and leftovers')
    .addHelpText('after', '\nExample:\n  mk-ci bundle prune --dry-run\n')
    .option('--dry-run', 'only list what would be removed')
    .option('--json', 'print an array, one object a thing removed')
    .action(async ({ dryRun = false, json }: { dryRun?: boolean; json?: true }) => {
      const removals = await openBundles(context).prune({ dryRun });
      await context.stdout(json ? toJson(removals) : formatRemovals(removals, dryRun));
    });
  return command;
}

function addGetCommand(
  parent: Command,
  context: CliContext,
  { name, description, sources }: { name: string; description: string; sources: readonly SourceKind[] },
): void {
  parent
    .command(name)
    .description(description)
    .addHelpText('after', `\nExample:\n  mk-ci bundle ${name} --kubernetes-version v1.35.4 --from ./mirror\n`)
    .option('--kubernetes-version <version>', 'full version', DEFAULT_KUBERNETES_VERSION)
    .addOption(
      new Option('--parts <list>', `what the bundle shall hold: ${BUNDLE_PARTS.join(', ')}`)
        .argParser(parseParts)
        .default(DEFAULT_PARTS, DEFAULT_PARTS.join(',')),
    )
    .option('--from <dir|url>', 'mirror to ask first: a bundle, a copy of the release servers, or a folder of programs')
    .option('--dry-run', 'print what is there, what is missing and who would be asked')
    .option('--json', 'print one object')
    .action(async ({ kubernetesVersion, parts, from, dryRun, json }: GetFlags) => {
      const store = openBundles(context, { sources, from });
      if (dryRun) {
        const plan = await store.plan(kubernetesVersion, { parts });
        await context.stdout(json ? toJson(plan) : formatPlan(plan));
        return;
      }
      using progress = createStepProgress(context, { prefix: 'bundle: ' });
      const bundle = await store.ensure(kubernetesVersion, { parts, signal: context.signal, onStep: progress.onStep });
      await context.stdout(json ? toJson(describeBundle(bundle)) : `${bundle.folder}\n`);
    });
}

async function verify(
  store: ManagedBundleStore,
  kubernetesVersion: string | undefined,
  context: CliContext,
): Promise<readonly VerifiedBundle[]> {
  using progress = createStepProgress(context, { prefix: 'bundle: ' });
  return await store.verify(kubernetesVersion, { signal: context.signal, onStep: progress.onStep });
}

function brokenError(results: readonly VerifiedBundle[]): MkCiError | undefined {
  const problems = results.flatMap(({ folder, problems: found }) =>
    found.map(({ path, message }) => `${folder}/${path} ${message}`),
  );
  const [first] = problems;
  if (first === undefined) return undefined;
  return new MkCiError('BND_CHECKSUM', {
    message: problems.length === 1 ? first : `${problems.length} files`,
    details: { problems: problems.length === 1 ? [] : problems },
  });
}

function parseParts(text: string): readonly BundlePart[] {
  if (text === 'all') return BUNDLE_PARTS;
  return text.split(',').map((word) => {
    const part = BUNDLE_PARTS.find((known) => known === word.trim());
    if (part === undefined) throw new InvalidArgumentError(`'${word}' is not one of ${BUNDLE_PARTS.join(', ')}, all.`);
    return part;
  });
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function describeBundle({ kubernetesVersion, folder, binaries, digest }: Bundle): object {
  return { kubernetesVersion, folder, binaries, digest };
}

function listedOf(entry: CacheEntry): object {
  return 'manifest' in entry
    ? { folder: entry.folder, ...entry.manifest, sizeBytes: sizeOf(entry) }
    : { folder: entry.folder, problem: entry.problem };
}

function sizeOf(entry: Extract<CacheEntry, { manifest: unknown }>): number {
  return entry.manifest.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function formatList(entries: readonly CacheEntry[]): string {
  return entries
    .map((entry) => {
      if (!('manifest' in entry)) return `broken  ${entry.folder}: ${entry.problem}\n`;
      const { kubernetesVersion, platform, parts, files } = entry.manifest;
      const lines = files.map(
        ({ name, version, sizeBytes, source }) =>
          `  ${name.padEnd(24)} ${version.padEnd(10)} ${megabytes(sizeBytes).padStart(9)}  ${source.kind} ${source.location}`,
      );
      const head = `${kubernetesVersion} ${formatPlatform(platform)} ${parts.join(', ')} (${megabytes(sizeOf(entry))})  ${entry.folder}`;
      return `${[head, ...lines].join('\n')}\n`;
    })
    .join('');
}

function formatPlan({ kubernetesVersion, platform, complete, programs, sources }: BundlePlan): string {
  const states = { bundle: 'in the bundle', finished: 'finished earlier', missing: 'to get' } as const;
  const lines = programs.map(
    ({ name, version, state }) => `  ${name.padEnd(24)} ${version.padEnd(10)} ${states[state]}`,
  );
  const end = complete
    ? 'nothing to do'
    : sources.length === 0
      ? 'only to be put together'
      : `sources: ${sources.join(', then ')}`;
  return `${[`${kubernetesVersion} ${formatPlatform(platform)}`, ...lines, end].join('\n')}\n`;
}

function formatVerified(results: readonly VerifiedBundle[]): string {
  if (results.length === 0) return 'no bundles\n';
  return results
    .map(({ folder, files, problems }) => {
      const lines = problems.map(({ kind, path, message }) => `  ${kind}: ${path} ${message}\n`);
      return `${problems.length === 0 ? 'ok' : 'broken'}  ${folder} (${files} files)\n${lines.join('')}`;
    })
    .join('');
}

function formatRemovals(removals: readonly Removal[], dryRun: boolean): string {
  if (removals.length === 0) return 'nothing to remove\n';
  return removals
    .map(
      ({ path, why, freedBytes }) =>
        `${dryRun ? 'would remove' : 'removed'} ${path} (${why}, ${megabytes(freedBytes)})\n`,
    )
    .join('');
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
