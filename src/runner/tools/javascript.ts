import type { TestResult } from '../../results/model.js';
import type { TestTool } from './tool.js';

const SELECT_FLAGS = ['-t', '--testNamePattern', '--test-name-pattern'];

/**
 * `vitest run` and `vitest`. `-t` is matched against the names of a test's suites and its own, with a blank between.
 *
 * @see {@link https://vitest.dev/guide/cli.html#testnamepattern}
 */
export const vitestTool: TestTool = {
  name: 'vitest',
  argumentsAt: (words) => {
    if (baseName(words[0]) !== 'vitest') return undefined;
    return words[1] === 'run' || words[1] === 'related' || words[1] === 'watch' ? 2 : 1;
  },
  rerun: (args, { failed, others, exists }) =>
    byFile(failed, others, exists, (files, pattern) => [
      ...withoutValues(args, SELECT_FLAGS).filter((arg) => !isPath(arg, exists)),
      '-t',
      pattern,
      ...files,
    ]),
  select: (args, pattern) => [...withoutValues(args, SELECT_FLAGS), '-t', pattern],
  shard: (args, { index, total }) => [...args, `--shard=${index}/${total}`],
};

/** @see {@link https://jestjs.io/docs/cli} for -t, --runTestsByPath and --shard */
export const jestTool: TestTool = {
  name: 'jest',
  argumentsAt: (words) => (baseName(words[0]) === 'jest' ? 1 : undefined),
  rerun: (args, { failed, others, exists }) =>
    byFile(failed, others, exists, (files, pattern) => [
      ...withoutValues(args, SELECT_FLAGS).filter((arg) => arg !== '--runTestsByPath' && !isPath(arg, exists)),
      '-t',
      pattern,
      '--runTestsByPath',
      ...files,
    ]),
  select: (args, pattern) => [...withoutValues(args, SELECT_FLAGS), '-t', pattern],
  shard: (args, { index, total }) => [...args, `--shard=${index}/${total}`],
};

/**
 * `playwright test`. A test is named by `--grep`, and by `file:line` too when its place is known. What `--grep` is matched
 * against is project, file, suites, test and tags, with blanks between.
 *
 * @see {@link https://playwright.dev/docs/test-cli}
 */
export const playwrightTool: TestTool = {
  name: 'playwright',
  argumentsAt: (words) => (baseName(words[0]) === 'playwright' && words[1] === 'test' ? 2 : undefined),
  rerun: (args, { failed, exists }) => {
    const kept = withoutValues(args, ['-g', '--grep']).filter(
      (arg) => !isPath(arg.replace(/:\d+(:\d+)?$/, ''), exists),
    );
    const places = failed.map(({ file, line }) =>
      file === undefined || line === undefined ? undefined : `${file}:${line}`,
    );
    // A place alone is not enough: tests that a loop makes share a line, and every project has a test there.
    const grep = [...new Set(failed.map(grepPattern))].join('|');
    return [[...kept, '--grep', grep, ...(places.every((place) => place !== undefined) ? new Set(places) : [])]];
  },
  select: (args, pattern) => [...withoutValues(args, ['-g', '--grep']), '--grep', pattern],
  shard: (args, { index, total }) => [...args, `--shard=${index}/${total}`],
};

/**
 * One call for all files when the names do not meet a passed namesake in another of the files, else one call per file.
 *
 * @returns `undefined` when the files of the failed tests are not known: a name alone may be anywhere
 */
function byFile(
  failed: readonly TestResult[],
  others: readonly TestResult[],
  exists: (path: string) => boolean,
  call: (files: readonly string[], pattern: string) => readonly string[],
): readonly (readonly string[])[] | undefined {
  const files = new Map<string, TestResult[]>();
  for (const test of failed) {
    const file = [test.file, test.id.package].find((path) => path !== undefined && path !== '' && exists(path));
    if (file === undefined) return undefined;
    files.set(file, [...(files.get(file) ?? []), test]);
  }
  const names = new Set(failed.map((test) => test.id.name));
  const packages = new Set(failed.map((test) => test.id.package));
  const meets = others.some(({ id }) => names.has(id.name) && packages.has(id.package));
  const pattern = (tests: readonly TestResult[]): string =>
    `^ ?(${[...new Set(tests.map((test) => namePattern(test)))].join('|')})$`;
  const namesake = others.some(({ id }) => names.has(id.name)) && !meets ? packages.size > 1 : meets;
  if (!namesake) return [call([...files.keys()], pattern(failed))];
  return [...files].map(([file, tests]) => call([file], pattern(tests)));
}

/** Results of a project other than the nameless one say `file [project]` for the package. */
function grepPattern(test: TestResult): string {
  const project = /^.* \[([^\]]+)\]$/s.exec(test.id.package)?.[1];
  const front = project === undefined ? '(?:^| )' : `^ ?${escapeRegExp(project)} (?:.* )?`;
  return `${front}${namePattern(test)}(?: @.*)?$`;
}

/** Names are joined by ` > ` in results and by a blank in the patterns of the tools. */
function namePattern({ id }: TestResult): string {
  return id.name.split(' > ').map(escapeRegExp).join('(?: > | )');
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

function withoutValues(args: readonly string[], names: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? '';
    if (names.includes(arg)) at += 1;
    else if (!names.some((name) => arg.startsWith(`${name}=`))) kept.push(arg);
  }
  return kept;
}

/** A positional argument that is a file or folder; options and their values are left alone. */
function isPath(arg: string, exists: (path: string) => boolean): boolean {
  return !arg.startsWith('-') && exists(arg);
}

function baseName(path: string | undefined): string {
  return (path?.split('/').at(-1) ?? '').replace(/\.(m?js|cmd)$/, '');
}
