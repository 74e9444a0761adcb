import { isBad, type CellResult, type RunResult, type Status, type TestAttempt, type TestResult } from '../model.js';
import { INFRA_SUITE, rowsOfCell, rowsOfErrors, runDurationMs, type Row } from './rows.js';
import { xmlAttributes, xmlText } from './xml-text.js';

/**
 * JUnit XML of a run, in pieces: one `<testsuite>` per cell with its environment as properties, errors outside any test
 * in a suite `mk-ci.infra`.
 *
 * - `failed` is `<failure>`, `error` is `<error>`, `timedout` is `<failure type="mk-ci.timedout">`, `notrun` is
 *   `<error type="mk-ci.notrun">`, because a test without an end must not look passed.
 * - Attempts as Surefire writes them: failures before a pass are `<flakyFailure>`/`<flakyError>`, failures after a
 *   failure are `<rerunFailure>`/`<rerunError>`; any other order is one `<testcase>` per attempt.
 * - A package that failed by itself is a case `[package]` of that class.
 *
 * Any text gives valid XML 1.0: characters that XML forbids become U+FFFD, colours are dropped.
 *
 * @see {@link https://maven.apache.org/surefire/maven-surefire-plugin/xsd/surefire-test-report-3.0.xsd}
 */
export function* renderJunit(run: RunResult): Generator<string> {
  const groups = run.cells.map((cell) => ({ cell, tally: tallyOf(rowsOfCell(cell)) }));
  const infra = [...rowsOfErrors(run)];
  const total = sum([...groups.map(({ tally }) => tally), tallyOf(infra)]);
  yield '<?xml version="1.0" encoding="UTF-8"?>\n';
  yield `<testsuites${xmlAttributes({
    name: run.title ?? `mk-ci ${run.runId}`,
    ...countAttributes(total),
    time: seconds(runDurationMs(run)),
    timestamp: run.startedAt,
  })}>\n`;
  for (const { cell, tally } of groups) yield* renderCell(run, cell, tally);
  if (infra.length > 0) {
    yield `  <testsuite${xmlAttributes({ name: INFRA_SUITE, ...countAttributes(tallyOf(infra)) })}>\n`;
    for (const row of infra) yield renderTest(row.test);
    yield '  </testsuite>\n';
  }
  yield '</testsuites>\n';
}

function* renderCell(run: RunResult, cell: CellResult, tally: Tally): Generator<string> {
  yield `  <testsuite${xmlAttributes({
    name: cell.id,
    ...countAttributes(tally),
    time: cell.durationMs === undefined ? undefined : seconds(cell.durationMs),
    timestamp: cell.startedAt,
  })}>\n`;
  yield '    <properties>\n';
  for (const [name, value] of cellProperties(run, cell)) yield `      <property${xmlAttributes({ name, value })}/>\n`;
  yield '    </properties>\n';
  for (const { test } of rowsOfCell(cell)) yield renderTest(test);
  yield '  </testsuite>\n';
}

function cellProperties(run: RunResult, cell: CellResult): [string, string][] {
  const environment = run.environments.find(({ name }) => name === cell.environment);
  const { shard } = cell;
  const pairs: [string, string | number | undefined][] = [
    ['mk-ci.run', run.runId],
    ['mk-ci.version', run.toolVersion],
    ['environment', cell.environment],
    ['suite', cell.suite],
    ['shard', shard === undefined ? undefined : `${shard.index}/${shard.total}`],
    ['driver', environment?.driver],
    ['container-runtime', environment?.containerRuntime],
    ['kubernetes-version', environment?.kubernetesVersion],
    ['nodes', environment?.nodes],
    ['os', environment?.os],
    ['architecture', environment?.architecture],
    ['repository', run.source.repository],
    ['commit', run.source.commit],
    ['branch', run.source.branch],
    ['pull-request', run.source.pullRequest],
    ['job-url', run.source.jobUrl],
  ];
  return pairs.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [[name, String(value)]]));
}

/** One `<testcase>` to be written: the attempt whose result it has, and the attempts inside it. */
interface CaseOf {
  readonly attempt: TestAttempt;
  readonly prefix: 'flaky' | 'rerun';
  readonly others: readonly TestAttempt[];
}

function casesOf({ attempts }: TestResult): readonly CaseOf[] {
  const [first, ...reruns] = attempts;
  const last = attempts.at(-1);
  if (first === undefined || last === undefined) return [];
  if (attempts.every(({ status }) => isBad(status))) return [{ attempt: first, prefix: 'rerun', others: reruns }];
  const before = attempts.slice(0, -1);
  if (last.status === 'passed' && before.every(({ status }) => isBad(status))) {
    return [{ attempt: last, prefix: 'flaky', others: before }];
  }
  return attempts.map((attempt) => ({ attempt, prefix: 'rerun', others: [] }));
}

function renderTest(test: TestResult): string {
  return casesOf(test)
    .map(({ attempt, prefix, others }) =>
      renderCase(
        test,
        attempt,
        renderProblem(attempt, '') + others.map((other) => renderProblem(other, prefix)).join(''),
      ),
    )
    .join('');
}

function renderCase(test: TestResult, attempt: TestAttempt, body: string): string {
  const head = `    <testcase${xmlAttributes({
    classname: test.id.package,
    name: test.id.name,
    file: test.file,
    line: test.line,
    time: attempt.durationMs === undefined ? undefined : seconds(attempt.durationMs),
    timestamp: attempt.startedAt,
  })}`;
  const attributes = Object.entries(test.attributes ?? {});
  const properties =
    attributes.length === 0
      ? ''
      : `      <properties>\n${attributes
          .map(([name, value]) => `        <property${xmlAttributes({ name, value })}/>\n`)
          .join('')}      </properties>\n`;
  return properties + body === '' ? `${head}/>\n` : `${head}>\n${properties}${body}    </testcase>\n`;
}

function renderProblem(attempt: TestAttempt, prefix: '' | 'flaky' | 'rerun'): string {
  const { status, failure } = attempt;
  if (status === 'passed') return '';
  if (status === 'skipped') return `      <skipped${xmlAttributes({ message: attempt.skipReason })}/>\n`;
  const word = status === 'error' || status === 'notrun' ? 'error' : 'failure';
  const element = prefix === '' ? word : `${prefix}${word === 'error' ? 'Error' : 'Failure'}`;
  const head = `      <${element}${xmlAttributes({
    message: failure?.message ?? DEFAULT_MESSAGE[status],
    type: status === 'timedout' || status === 'notrun' ? `mk-ci.${status}` : failure?.kind,
    time: prefix !== '' && attempt.durationMs !== undefined ? seconds(attempt.durationMs) : undefined,
  })}`;
  if (failure?.text === undefined || failure.text === '') return `${head}/>\n`;
  const text = xmlText(failure.text);
  return prefix === '' ? `${head}>${text}</${element}>\n` : `${head}><stackTrace>${text}</stackTrace></${element}>\n`;
}

const DEFAULT_MESSAGE = {
  failed: 'failed',
  error: 'error',
  timedout: 'was running when the time limit struck',
  notrun: 'started and never ended',
} as const satisfies Record<Exclude<Status, 'passed' | 'skipped'>, string>;

interface Tally {
  readonly tests: number;
  readonly failures: number;
  readonly errors: number;
  readonly skipped: number;
}

/** Counts cases as they are written, so that the attributes of a suite agree with what stands in it. */
function tallyOf(rows: Iterable<Row>): Tally {
  const tally = { tests: 0, failures: 0, errors: 0, skipped: 0 };
  for (const { test } of rows) {
    for (const { attempt } of casesOf(test)) {
      tally.tests += 1;
      if (attempt.status === 'failed' || attempt.status === 'timedout') tally.failures += 1;
      else if (attempt.status === 'error' || attempt.status === 'notrun') tally.errors += 1;
      else if (attempt.status === 'skipped') tally.skipped += 1;
    }
  }
  return tally;
}

function sum(tallies: readonly Tally[]): Tally {
  return tallies.reduce((a, b) => ({
    tests: a.tests + b.tests,
    failures: a.failures + b.failures,
    errors: a.errors + b.errors,
    skipped: a.skipped + b.skipped,
  }));
}

function countAttributes({ tests, failures, errors, skipped }: Tally): Record<string, number> {
  return { tests, failures, errors, skipped };
}

/** Seconds with up to six decimals and never in scientific notation. */
function seconds(ms: number): string {
  return (ms / 1000).toFixed(6).replace(/\.?0+$/, '');
}
