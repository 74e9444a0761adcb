import type { TestResult } from '../../results/model.js';
import type { RerunRequest, TestTool } from './tool.js';

/**
 * `go test`. Selection is `-run` with one alternative per test, which Go splits at `|` and `/` outside brackets, so each
 * alternative selects one path of subtests exactly.
 *
 * @see {@link https://pkg.go.dev/cmd/go#hdr-Testing_flags} for -run; `src/testing/match.go` for how patterns are split
 */
export const goTool: TestTool = {
  name: 'go test',
  argumentsAt: (words) => (baseName(words[0]) === 'go' && words[1] === 'test' ? 2 : undefined),
  rerun: (args, request) => {
    const groups = rerunGroups(request);
    if (groups.length === 0) return undefined;
    const { flags, tail } = parseGoTestArguments(args);
    return groups.map(({ pattern, packages }) => {
      const kept = withoutFlags(flags, pattern === undefined ? [] : ['run']);
      return [
        ...kept,
        ...(hasFlag(kept, 'count') ? [] : ['-count=1']),
        ...(pattern === undefined ? [] : ['-run', pattern]),
        ...packages,
        ...tail,
      ];
    });
  },
  select: (args, pattern) => {
    const { flags, packages, tail } = parseGoTestArguments(args);
    return [...withoutFlags(flags, ['run']), '-run', pattern, ...packages, ...tail];
  },
  listing: {
    list: (args) => {
      const { flags, packages, tail } = parseGoTestArguments(args);
      const pattern = flagValue(flags, 'run') ?? '.';
      return [...withoutFlags(flags, ['run', 'json', 'v']), '-list', pattern, ...packages, ...tail];
    },
    parse: parseGoTestList,
    run: (args, names, packages) => {
      const { flags, tail } = parseGoTestArguments(args);
      const previous = flagValue(flags, 'run');
      // A selection below the first level stays: only the first level is narrowed.
      const below = previous?.includes('/') === true ? previous.slice(previous.indexOf('/')) : '';
      return [...withoutFlags(flags, ['run']), '-run', `${anyOf(names)}${below}`, ...packages, ...tail];
    },
  },
};

/** Flags of `go test` and `go build` that take no value of their own; all others do, unless written with `=`. */
const BOOLEAN_FLAGS = new Set(
  'a asan artifacts benchmem buildvcs c cover failfast fullpath i json linkshared modcacherw msan n race short trimpath v work x'.split(
    ' ',
  ),
);

interface GoTestArguments {
  /** One flag with its value per entry. */
  readonly flags: readonly (readonly string[])[];
  readonly packages: readonly string[];
  /** `-args` and all after it. */
  readonly tail: readonly string[];
}

/** Takes `go test` arguments apart; `-run X`, `-run=X`, `--run X` and `-test.run X` are the same. */
export function parseGoTestArguments(args: readonly string[]): GoTestArguments {
  const flags: string[][] = [];
  const packages: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? '';
    if (arg === '-args' || arg === '--args') return { flags, packages, tail: args.slice(at) };
    if (!arg.startsWith('-') || arg === '-') {
      packages.push(arg);
      continue;
    }
    const value = args[at + 1];
    if (arg.includes('=') || BOOLEAN_FLAGS.has(flagName(arg)) || value === undefined) flags.push([arg]);
    else {
      flags.push([arg, value]);
      at += 1;
    }
  }
  return { flags, packages, tail: [] };
}

function flagName(arg: string): string {
  return arg.replace(/^--?(test\.)?/, '').replace(/=.*$/s, '');
}

function withoutFlags(flags: readonly (readonly string[])[], names: readonly string[]): string[] {
  return flags.filter(([arg = '']) => !names.includes(flagName(arg))).flat();
}

function hasFlag(flat: readonly string[], name: string): boolean {
  return flat.some((arg) => arg.startsWith('-') && flagName(arg) === name);
}

function flagValue(flags: readonly (readonly string[])[], name: string): string | undefined {
  const found = flags.findLast(([arg = '']) => flagName(arg) === name);
  return found?.[1] ?? (found?.[0]?.includes('=') === true ? found[0].slice(found[0].indexOf('=') + 1) : undefined);
}

interface RerunGroup {
  /** Absent: all tests of the packages. */
  readonly pattern?: string;
  readonly packages: readonly string[];
}

/** Packages with the same failed tests share a call; others get their own, so that no passed namesake runs again. */
function rerunGroups({ failed, wholePackages }: RerunRequest): RerunGroup[] {
  const namesOf = new Map<string, string[]>();
  for (const { id } of failed) {
    if (id.package === '') return []; // plain `go test -v` output of one package: the caller runs the whole suite
    if (wholePackages.includes(id.package)) continue;
    const names = namesOf.get(id.package) ?? [];
    names.push(id.name);
    namesOf.set(id.package, names);
  }
  const groups = new Map<string, string[]>();
  for (const [name, names] of namesOf) {
    const pattern = goRunPattern(names);
    groups.set(pattern, [...(groups.get(pattern) ?? []), name]);
  }
  return [
    ...[...groups].map(([pattern, packages]) => ({ pattern, packages })),
    ...(wholePackages.length === 0 ? [] : [{ packages: [...wholePackages] }]),
  ];
}

/**
 * `-run` expression for exactly these tests and their subtests.
 *
 * @param names full names such as `TestA/sub_1`; a test of which a subtest is named too is left to that subtest
 */
export function goRunPattern(names: readonly string[]): string {
  const leaves = [...new Set(names)].filter((name) => !names.some((other) => other.startsWith(`${name}/`)));
  const tops = leaves.filter((name) => !name.includes('/'));
  const deep = leaves.filter((name) => name.includes('/'));
  return [...(tops.length === 0 ? [] : [anyOf(tops)]), ...deep.map(pathPattern)].join('|');
}

function anyOf(names: readonly string[]): string {
  return names.length === 1 ? `^${names.map(quoteMeta).join('')}$` : `^(${names.map(quoteMeta).join('|')})$`;
}

function pathPattern(name: string): string {
  return name
    .split('/')
    .map((part) => `^${quoteMeta(part)}$`)
    .join('/');
}

/** As Go's `regexp.QuoteMeta`. */
function quoteMeta(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&');
}

/** `go test -list` prints names, then `ok  package  0.1s`, for each package. */
export function parseGoTestList(output: string): { package: string; name: string }[] {
  const found: { package: string; name: string }[] = [];
  let names: string[] = [];
  for (const line of output.split(/\r?\n/)) {
    const end = /^ok\s+(\S+)/.exec(line);
    if (end?.[1] !== undefined) {
      for (const name of names) found.push({ package: end[1], name });
      names = [];
    } else if (/^(Test|Example|Fuzz)\S*$/.test(line)) {
      names.push(line);
    } else if (/^(\?|FAIL|---)\s/.test(line)) {
      names = [];
    }
  }
  return found;
}

/** Go packages of a cell that must run in whole again. */
export function unfinishedPackages(tests: readonly TestResult[]): string[] {
  return [
    ...new Set(
      tests
        .filter(({ attempts }) => {
          const last = attempts.at(-1);
          return (
            last !== undefined &&
            (last.status === 'notrun' || last.status === 'timedout' || last.failure?.kind === 'panic')
          );
        })
        .map(({ id }) => id.package),
    ),
  ];
}

function baseName(path: string | undefined): string {
  return path?.split('/').at(-1) ?? '';
}
