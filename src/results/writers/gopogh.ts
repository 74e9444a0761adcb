import { isBad, testKey, type CellResult, type RunResult, type TestResult } from '../model.js';
import { toWellFormed } from '../text.js';
import { decisiveAttempt, runDurationMs, totalDurationMs } from './rows.js';

/**
 * The summary file of gopogh, for tools that read it (minikube's flake charts), with what gopogh leaves out added under
 * `MkCi`.
 *
 * - As gopogh: only leaves are counted (tests that no other test of their package has as a parent), lists are `null` when
 *   empty, `Durations` in seconds without skipped tests, `TotalDuration` with two decimals, `Detail.Details` is
 *   `commit:date:job` (the job is the run's id).
 * - Unlike gopogh: a leaf that did not end, timed out or had an error is in `FailedTests`, so nothing gets lost; a name
 *   that occurs in more than one package or cell gets them in brackets.
 *
 * @see {@link https://github.com/medyagh/gopogh/blob/master/pkg/report/report.go}
 */
export interface GopoghSummary {
  readonly NumberOfTests: number;
  readonly NumberOfFail: number;
  readonly NumberOfPass: number;
  readonly NumberOfSkip: number;
  readonly FailedTests: readonly string[] | null;
  readonly PassedTests: readonly string[] | null;
  readonly SkippedTests: readonly string[] | null;
  readonly Durations: Readonly<Record<string, number>>;
  readonly TotalDuration: number;
  readonly GopoghVersion: string;
  readonly GopoghBuild: string;
  readonly Detail: {
    readonly Name: string;
    readonly Details: string;
    readonly PR: string;
    readonly RepoName: string;
  };
  readonly MkCi: {
    readonly Version: string;
    readonly RunId: string;
    readonly Environments: readonly string[];
    readonly Complete: boolean;
    /** Passed leaves that failed in an earlier attempt; in `PassedTests` too. */
    readonly FlakyTests: readonly string[];
    /** Leaves that started and did not end, or were stopped by a time limit; in `FailedTests` too. */
    readonly UnfinishedTests: readonly string[];
    /** Tests with subtests that failed although no test below them did: gopogh can not show these. */
    readonly FailedParents: readonly string[];
    readonly FailedPackages: readonly string[];
    /** Codes of errors outside any test. */
    readonly Errors: readonly string[];
  };
}

export interface GopoghOptions {
  /** Cells of this environment only, as gopogh knows one environment per file. @default all */
  readonly environment?: string;
}

export function gopoghSummary(run: RunResult, options: GopoghOptions = {}): GopoghSummary {
  const { environment } = options;
  const cells = run.cells.filter((cell) => environment === undefined || cell.environment === environment);
  const environments = [...new Set(cells.map((cell) => cell.environment))].filter((name) => name !== '');
  const leaves: { cell: CellResult; test: TestResult }[] = [];
  const failedParents: { cell: CellResult; test: TestResult }[] = [];
  for (const cell of cells) {
    const { parents, withBadBelow } = parentsOf(cell.tests);
    for (const test of cell.tests) {
      const key = testKey(test.id);
      if (!parents.has(key)) leaves.push({ cell, test });
      else if (isBad(test.status) && !withBadBelow.has(key)) failedParents.push({ cell, test });
    }
  }
  const nameOf = namer([...leaves, ...failedParents]);
  const names = (wanted: (test: TestResult) => boolean): string[] =>
    leaves.filter(({ test }) => wanted(test)).map(nameOf);
  const failed = names(({ status }) => isBad(status));
  const passed = names(({ status }) => status === 'passed');
  const skipped = names(({ status }) => status === 'skipped');
  const { source } = run;
  return {
    NumberOfTests: leaves.length,
    NumberOfFail: failed.length,
    NumberOfPass: passed.length,
    NumberOfSkip: skipped.length,
    FailedTests: orNull(failed),
    PassedTests: orNull(passed),
    SkippedTests: orNull(skipped),
    Durations: Object.fromEntries(
      leaves
        .filter(({ test }) => test.status !== 'skipped')
        .map((leaf): [string, number] => [nameOf(leaf), inSeconds(decisiveAttempt(leaf.test)?.durationMs ?? 0)])
        .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
    ),
    TotalDuration: inSeconds(runDurationMs(run) || sumOfDurations(leaves)),
    GopoghVersion: `mk-ci ${run.toolVersion}`,
    GopoghBuild: '',
    Detail: {
      Name: toWellFormed(environment ?? (environments.join(', ') || (run.title ?? ''))),
      Details: `${source.commit ?? ''}:${run.startedAt.slice(0, 10)}:${run.runId}`,
      PR: source.pullRequest === undefined ? (source.branch ?? '') : String(source.pullRequest),
      RepoName: repositoryPath(source.repository),
    },
    MkCi: {
      Version: run.toolVersion,
      RunId: run.runId,
      Environments: environments,
      Complete: run.complete,
      FlakyTests: names(({ flaky, status }) => flaky && status === 'passed'),
      UnfinishedTests: names(({ status }) => status === 'notrun' || status === 'timedout'),
      FailedParents: failedParents.map(nameOf),
      FailedPackages: cells.flatMap((cell) =>
        cell.packages.filter(({ status }) => isBad(status)).map((result) => result.package),
      ),
      Errors: run.errors.map(({ code }) => code),
    },
  };
}

export function renderGopoghSummary(run: RunResult, options: GopoghOptions = {}): string {
  return `${JSON.stringify(gopoghSummary(run, options), null, 4)}\n`;
}

/** Keys of the tests that have tests below them, and of those that have a bad one below them. Linear in all names. */
function parentsOf(tests: readonly TestResult[]): { parents: Set<string>; withBadBelow: Set<string> } {
  const keys = new Set(tests.map(({ id }) => testKey(id)));
  const parents = new Set<string>();
  const withBadBelow = new Set<string>();
  for (const { id, status } of tests) {
    for (let slash = id.name.lastIndexOf('/'); slash > 0; slash = id.name.lastIndexOf('/', slash - 1)) {
      const key = testKey({ package: id.package, name: id.name.slice(0, slash) });
      if (!keys.has(key)) continue;
      parents.add(key);
      if (isBad(status)) withBadBelow.add(key);
    }
  }
  return { parents, withBadBelow };
}

function namer(all: readonly { cell: CellResult; test: TestResult }[]) {
  const often = new Map<string, number>();
  for (const { test } of all) often.set(test.id.name, (often.get(test.id.name) ?? 0) + 1);
  return ({ cell, test }: { cell: CellResult; test: TestResult }): string => {
    const { package: pkg, name } = test.id;
    if (often.get(name) === 1) return toWellFormed(name);
    return toWellFormed(`${name} (${[pkg, cell.id].filter((part) => part !== '').join(', ')})`);
  };
}

function orNull(names: readonly string[]): readonly string[] | null {
  return names.length === 0 ? null : names;
}

function inSeconds(ms: number): number {
  return Math.round(ms / 10) / 100;
}

function sumOfDurations(leaves: readonly { test: TestResult }[]): number {
  return leaves.reduce((sum, { test }) => sum + (totalDurationMs(test) ?? 0), 0);
}

/** gopogh appends `pull/<n>` to it: host and path with a slash at the end. */
function repositoryPath(repository: string | undefined): string {
  if (repository === undefined || repository === '') return '';
  const path = repository.replace(/^[a-z+]+:\/\/(?:[^/@]*@)?/, '').replace(/(?:\.git)?\/*$/, '');
  return `${/^[^/]+\.[^/]+\//.test(path) ? '' : 'github.com/'}${path}/`;
}
