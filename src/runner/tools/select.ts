import { exec, formatArgv, type Argv } from '../../exec.js';
import { messageOf } from '../../errors.js';
import type { Labels } from '../../process.js';
import { isBad, type PackageResult, type TestId, type TestResult } from '../../results/model.js';
import { plural } from '../../results/text.js';
import { argvOf, expandVariables, nameVariables, splitCommand } from '../command-words.js';
import type { PlannedCell } from '../plan.js';
import { assignShards } from '../shards.js';
import type { AttemptProblem } from '../verdict.js';
import { goTool, unfinishedPackages } from './go.js';
import { jestTool, playwrightTool, vitestTool } from './javascript.js';
import { pytestTool } from './pytest.js';
import type { TestTool, ToolCommand } from './tool.js';

/** Tools whose tests can be selected one by one; a command of any other runs in whole. */
export const TOOLS: readonly TestTool[] = [goTool, vitestTool, jestTool, playwrightTool, pytestTool];

/** Expected duration of a top-level test of a suite, from earlier runs. */
export type TestDurations = (environment: string, suite: string, test: TestId) => number | undefined;

/**
 * Finds the tool in a command, behind `env`, `npx`, `pnpm exec` and the like.
 *
 * @returns `undefined` when the command needs a shell or is none of the tools
 */
export function findTool(command: string | readonly string[]): ToolCommand | undefined {
  const words = typeof command === 'string' ? splitCommand(command) : command;
  if (words === undefined) return undefined;
  const launcher = launcherLength(words);
  const rest = words.slice(launcher);
  for (const tool of TOOLS) {
    const at = tool.argumentsAt(rest);
    const [program, ...front] = words.slice(0, launcher + (at ?? 0));
    if (at !== undefined && program !== undefined) return { tool, front: [program, ...front], args: rest.slice(at) };
  }
  return undefined;
}

const LAUNCHERS: readonly (readonly string[])[] = [
  ['pnpm', 'exec'],
  ['pnpm', 'dlx'],
  ['yarn', 'run'],
  ['npm', 'exec', '--'],
  ['npm', 'exec'],
  ['poetry', 'run'],
  ['uv', 'run'],
  ['npx'],
  ['bunx'],
  ['yarn'],
  ['pnpm'],
  ['time'],
];

function launcherLength(words: readonly string[]): number {
  let at = 0;
  if (words[at] === 'env') {
    at += 1;
    while (/^[A-Za-z_]\w*=/.test(words[at] ?? '')) at += 1;
  }
  const launcher = LAUNCHERS.find((candidate) => candidate.every((word, index) => words[at + index] === word));
  if (launcher === undefined) return at;
  at += launcher.length;
  while (['-y', '--yes', '--no-install', '--no', '-q', '--'].includes(words[at] ?? '')) at += 1;
  return at;
}

export interface FirstPlan {
  /** `undefined`: this shard has no test, there is nothing to run. */
  readonly steps: readonly Argv[] | undefined;
  /** What the reader of the report should know about the selection. */
  readonly notes: readonly string[];
}

export interface FirstContext {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly labels: Labels;
  readonly durations: TestDurations;
  readonly signal: AbortSignal;
}

/**
 * The command of a cell's first attempt: the suite's own, narrowed by `--select` and by its shard where the tool can.
 * Without a tool that can, the command runs as it is and finds both in its environment variables.
 */
export async function planFirst(cell: PlannedCell, context: FirstContext): Promise<FirstPlan> {
  const whole = [argvOf(cell.suiteConfig.command)];
  if (cell.shard === undefined && cell.select === undefined) return { steps: whole, notes: [] };
  const found = findTool(cell.suiteConfig.command);
  const notes: string[] = [];
  if (found === undefined) {
    const variables = [
      ...(cell.shard ? ['MK_CI_SHARD and MK_CI_SHARDS'] : []),
      ...(cell.select === undefined ? [] : ['MK_CI_SELECT']),
    ];
    return { steps: whole, notes: [`the command selects by itself, from ${variables.join(' and ')}`] };
  }
  const { tool, front } = found;
  let { args } = found;
  if (cell.select !== undefined) args = tool.select(args, cell.select) ?? args;
  if (cell.shard !== undefined) {
    if (tool.listing) return await planListedShard({ tool, front, args }, cell, context);
    const sharded = tool.shard?.(args, cell.shard);
    if (sharded === undefined)
      notes.push(`${tool.name} has no shards of its own: it selects by MK_CI_SHARD and MK_CI_SHARDS, or runs all`);
    args = sharded ?? args;
  }
  return { steps: [[...front, ...args]], notes };
}

async function planListedShard(
  { tool, front, args }: ToolCommand,
  cell: PlannedCell,
  context: FirstContext,
): Promise<FirstPlan> {
  const { listing } = tool;
  if (listing === undefined || cell.shard === undefined) return { steps: [[...front, ...args]], notes: [] };
  let tests: readonly { readonly package: string; readonly name: string }[];
  try {
    const result = await exec(expandVariables([...front, ...listing.list(args)], context.env), {
      cwd: context.cwd,
      env: context.env,
      labels: context.labels,
      signal: context.signal,
      timeoutMs: cell.timeoutMs,
      allowFailure: true,
    });
    tests = listing.parse(result.stdout);
    // A package that does not compile is not listed; the first shard runs everything that is not, and so reports it.
    if (result.exitCode !== 0) {
      return cell.shard.index === 1
        ? { steps: [[...front, ...args]], notes: ['the tests could not be listed: the first shard runs all of them'] }
        : { steps: undefined, notes: ['the tests could not be listed: the first shard runs all of them'] };
    }
  } catch (error) {
    context.signal.throwIfAborted();
    return {
      steps: [[...front, ...args]],
      notes: [`the tests could not be listed, this shard runs all: ${messageOf(error)}`],
    };
  }
  // The unit is the name: a name that several packages have goes to one shard, so that one pattern selects exactly.
  const names = [...new Set(tests.map((test) => test.name))];
  const items = names.map((name) => {
    const known = tests
      .filter((test) => test.name === name)
      .flatMap((test) => context.durations(cell.environment, cell.suite, test) ?? []);
    return known.length === 0 ? { key: name } : { key: name, durationMs: known.reduce((sum, ms) => sum + ms, 0) };
  });
  const mine = assignShards(items, cell.shard.total)[cell.shard.index - 1] ?? [];
  if (mine.length === 0) return { steps: undefined, notes: ['no test falls to this shard'] };
  const packages = [...new Set(tests.filter((test) => mine.includes(test.name)).map((test) => test.package))];
  return {
    steps: [[...front, ...listing.run(args, mine, packages)]],
    notes: [`${mine.length} of ${names.length} tests of all shards`],
  };
}

export interface RerunFacts {
  readonly tests: { readonly tests: readonly TestResult[]; readonly packages: readonly PackageResult[] };
  readonly problems: readonly AttemptProblem[];
  /** The attempt that failed. */
  readonly attempt: number;
  readonly exists: (path: string) => boolean;
}

export interface RerunPlan {
  /** `undefined`: as the first attempt. */
  readonly steps?: readonly Argv[];
  readonly selection?: readonly TestId[];
  readonly note?: string;
}

/**
 * What the next attempt runs: the failed tests alone where the tool can select them, else the whole suite, with the reason.
 */
export function planRerun(cell: PlannedCell, facts: RerunFacts): RerunPlan {
  const { tests, packages } = facts.tests;
  const failed = tests.filter((test) => isBad(test.status));
  const others = tests.filter((test) => !isBad(test.status));
  const found = findTool(cell.suiteConfig.command);
  const whole = (why: string): RerunPlan => ({ note: `the whole suite runs again: ${why}` });
  if (found === undefined) return whole('its command can not be told which tests to run');
  const isGo = found.tool === goTool;
  const failedPackages = packages.filter(({ status }) => isBad(status)).map((item) => item.package);
  const withFailedTests = new Set(failed.map(({ id }) => id.package));
  const wholePackages = isGo
    ? [...new Set([...unfinishedPackages(failed), ...failedPackages.filter((name) => !withFailedTests.has(name))])]
    : [];
  if (!isGo && failed.some((test) => test.status === 'notrun' || test.status === 'timedout')) {
    return whole('it ended before all its tests did');
  }
  if (failed.length === 0 && wholePackages.length === 0) return whole('no single test failed');
  const calls = found.tool.rerun(found.args, { failed, others, wholePackages, exists: facts.exists });
  if (calls === undefined) return whole(`${found.tool.name} can not be told which of these tests to run`);
  // Linux takes 128 KiB in one argument (MAX_ARG_STRLEN).
  if (calls.flat().some((arg) => Buffer.byteLength(arg) > 120_000)) return whole('too many tests failed to name them');
  const inWhole = new Set(wholePackages);
  return {
    steps: calls.map((args): Argv => [...found.front, ...args]),
    selection: [...failed, ...others.filter(({ id }) => inWhole.has(id.package))].map(({ id }) => id),
    note: `rerun of ${failed.length === 0 ? plural(wholePackages.length, 'package') : plural(failed.length, 'failed test')}: ${calls.map((args) => formatArgv(nameVariables([...found.front, ...args])).slice(0, 300)).join('; ')}`,
  };
}
