import { countTests, type RunResult, type Status } from '../../results/index.js';
import {
  failuresOf,
  missingCells,
  missingEnvironments,
  problemsOf,
  seriesKey,
  type FailureEvidence,
  type TestFailure,
} from '../failures.js';
import { cutText } from '../text/safe.js';
import { VERDICT_WORDS, type CommentRow, type CommentSection, type RowVerdict } from './state.js';

/** Where a reader can look further; each gives `undefined` when there is no such page. */
export interface Links {
  readonly run?: string;
  readonly report?: (failure: TestFailure) => string | undefined;
  readonly chart?: (failure: TestFailure) => string | undefined;
  readonly environment?: (environment: string) => string | undefined;
}

export interface SectionOptions {
  /** Names the job: the same in each of its runs, another one for each job that reports on its own. */
  readonly key: string;
  /** Commit that was tested. */
  readonly sha: string;
  readonly evidence: ReadonlyMap<string, FailureEvidence>;
  readonly expectedEnvironments?: readonly string[];
  /** Ids of cells that must be there; of one without a result its name is shown. */
  readonly expectedCells?: readonly string[];
  readonly links?: Links;
}

/** Rows that are kept; the rest is in the counts. 200 rows of a usual length are 8 kB when compressed. */
const MOST_ROWS = 200;
const MOST_EXCERPTS = 20;

/** What a status says when the test itself said nothing. */
const WITHOUT_MESSAGE: Readonly<Partial<Record<Status, string>>> = {
  notrun: 'started and never ended',
  timedout: 'ran out of time',
  error: 'could not run',
};

/** What one run has to say in the comment. Pure, and the same for the same input whatever its order. */
export function sectionOf(run: RunResult, options: SectionOptions): CommentSection {
  const { evidence, links = {} } = options;
  const failures = failuresOf(run);
  const rows = groupRows(failures, evidence, links);
  const totals: Partial<Record<RowVerdict, number>> = {};
  for (const failure of failures) {
    const verdict = verdictOfFailure(evidence.get(seriesKey(failure.id, failure.environment)));
    totals[verdict] = (totals[verdict] ?? 0) + 1;
  }
  const flaky = run.cells.flatMap((cell) =>
    cell.tests
      .filter((test) => test.flaky && test.status === 'passed')
      .map(({ id }) => `${id.name} (${cell.environment})`),
  );
  return {
    key: cutText(options.key, 100),
    runId: cutText(run.runId, 200),
    sha: options.sha.slice(0, 64),
    startedAt: run.startedAt.slice(0, 40),
    ...urlOf('runUrl', links.run),
    environments: environmentsOf(run, links),
    missing: [...missingEnvironments(run, options.expectedEnvironments), ...missingCells(run, options.expectedCells)]
      .slice(0, 200)
      .map((name) => cutText(name, 100)),
    totals,
    rows: rows.slice(0, MOST_ROWS).map((row, index) => {
      const { excerpt, ...rest } = row;
      return index < MOST_EXCERPTS && excerpt !== undefined ? { ...rest, excerpt } : rest;
    }),
    problems: problemsOf(run)
      .slice(0, 20)
      .map((problem) => cutText(problem, 300)),
    flaky: [...new Set(flaky)]
      .sort()
      .slice(0, 50)
      .map((name) => cutText(name, 400)),
    flakyCount: flaky.length,
  };
}

function verdictOfFailure(evidence: FailureEvidence | undefined): RowVerdict {
  if (evidence?.quarantined === true) return 'quarantined';
  return evidence?.verdict.kind ?? 'undecided';
}

/** One row for a test that fails with one verdict in several environments; worst verdict first, then by name. */
function groupRows(failures: readonly TestFailure[], evidence: SectionOptions['evidence'], links: Links): CommentRow[] {
  const groups = new Map<string, { readonly verdict: RowVerdict; readonly failures: TestFailure[] }>();
  for (const failure of failures) {
    const verdict = verdictOfFailure(evidence.get(seriesKey(failure.id, failure.environment)));
    const key = `${verdict}\0${failure.id.package}\0${failure.id.name}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { verdict, failures: [failure] });
    else group.failures.push(failure);
  }
  return [...groups.values()]
    .map(({ verdict, failures: same }) => rowOf(verdict, same, evidence, links))
    .sort(
      (a, b) =>
        VERDICT_WORDS.indexOf(a.verdict) - VERDICT_WORDS.indexOf(b.verdict) ||
        compare(a.package, b.package) ||
        compare(a.test, b.test),
    );
}

function rowOf(
  verdict: RowVerdict,
  unsorted: readonly TestFailure[],
  evidence: SectionOptions['evidence'],
  links: Links,
): CommentRow {
  const failures = [...unsorted].sort((a, b) => compare(a.environment, b.environment) || compare(a.cell, b.cell));
  const [first] = failures;
  if (first === undefined) throw new RangeError('a row without failures'); // groups hold no empty lists
  const known = failures.flatMap(({ id, environment }) => evidence.get(seriesKey(id, environment)) ?? []);
  const elsewhere = sum(known.map((one) => ({ failed: one.elsewhere.failed, attempts: one.elsewhere.attempts })));
  const here =
    known.length === failures.length
      ? known.reduce((a, { here: b }) => ({ failed: a.failed + b.failed, passed: a.passed + b.passed }), {
          failed: 0,
          passed: 0,
        })
      : failures.reduce((a, b) => ({ failed: a.failed + b.failedAttempts, passed: a.passed + b.passedAttempts }), {
          failed: 0,
          passed: 0,
        });
  const lastSeen = known.flatMap((one) => one.lastSeen ?? []).sort((a, b) => compare(b.day, a.day))[0];
  const issue = known.find((one) => one.issue !== undefined)?.issue;
  const message = first.failure?.message ?? WITHOUT_MESSAGE[first.status];
  return {
    package: cutText(first.id.package, 400),
    test: cutText(first.id.name, 400),
    environments: [...new Set(failures.map(({ environment }) => cutText(environment, 100)))].slice(0, 100),
    verdict,
    ...(message === undefined ? {} : { reason: cutText(message.split('\n')[0] ?? '', 300) }),
    ...(known[0] === undefined
      ? {}
      : { evidence: known[0].verdict.evidence.slice(0, 8).map((fact) => cutText(fact, 200)) }),
    ...(known.length === 0 ? {} : { elsewhere }),
    here,
    ...(lastSeen === undefined
      ? {}
      : {
          lastSeen: {
            day: lastSeen.day,
            ...(lastSeen.commit === undefined ? {} : { commit: lastSeen.commit.slice(0, 64) }),
          },
        }),
    ...(issue === undefined ? {} : { issue }),
    ...urlOf('reportUrl', links.report?.(first)),
    ...urlOf('chartUrl', links.chart?.(first)),
    ...(first.failure?.text === undefined ? {} : { excerpt: lastLines(first.failure.text) }),
  };
}

function environmentsOf(run: RunResult, links: Links): CommentSection['environments'] {
  const names = [...new Set(run.cells.map(({ environment }) => environment))].sort();
  return names.slice(0, 200).map((name) => {
    const counts = countTests(
      run.cells.filter(({ environment }) => environment === name).flatMap(({ tests }) => tests),
    );
    return {
      name: cutText(name, 100),
      passed: counts.passed,
      failed: counts.failed + counts.error + counts.timedout + counts.notrun,
      flaky: counts.flaky,
      skipped: counts.skipped,
      ...urlOf('url', links.environment?.(name)),
    };
  });
}

/** The first lines name the failure, and there is little room. */
function lastLines(text: string): string {
  return cutText(text.split('\n').slice(0, 12).join('\n'), 1_000);
}

function urlOf<Key extends string>(key: Key, url: string | undefined): { readonly [P in Key]?: string } {
  return url === undefined || url.length > 800 ? {} : ({ [key]: url } as { readonly [P in Key]: string });
}

function sum(items: readonly { readonly failed: number; readonly attempts: number }[]) {
  return items.reduce((a, b) => ({ failed: a.failed + b.failed, attempts: a.attempts + b.attempts }), {
    failed: 0,
    attempts: 0,
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
