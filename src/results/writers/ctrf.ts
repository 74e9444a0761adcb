import { isBad, type RunResult, type Status, type TestAttempt } from '../model.js';
import { stripAnsi, toWellFormed } from '../text.js';
import { decisiveAttempt, rowsOf, runDurationMs, type Row } from './rows.js';

/** Of the schema that the writer follows, as the `ctrf` package 0.3.0 names it. */
const SPEC_VERSION = '0.0.0';

/**
 * A run in the Common Test Report Format, in pieces that together are one JSON document.
 *
 * `error` and `timedout` are CTRF's `failed`, `notrun` is its `other`; `rawStatus` keeps our word. A test that ran more
 * than once lists all its attempts in `retryAttempts`, the last one included, as the examples of the format do.
 *
 * @see {@link https://github.com/ctrf-io/ctrf/blob/main/schema/ctrf.schema.json}
 */
export function* renderCtrf(run: RunResult): Generator<string> {
  const environments = [...new Set(run.cells.map(({ environment }) => environment))];
  const counts = { tests: 0, passed: 0, failed: 0, skipped: 0, pending: 0, other: 0, flaky: 0 };
  for (const { test } of rowsOf(run)) {
    counts.tests += 1;
    counts[STATUS[test.status]] += 1;
    if (test.flaky && test.status === 'passed') counts.flaky += 1;
  }
  const start = epochMs(run.startedAt);
  const summary = {
    ...counts,
    suites: run.cells.length,
    start,
    stop: start + Math.round(runDurationMs(run)),
    duration: Math.round(runDurationMs(run)),
  };
  const head = {
    reportFormat: 'CTRF',
    specVersion: SPEC_VERSION,
    ...(run.endedAt === undefined ? {} : { timestamp: run.endedAt }),
    generatedBy: `mk-ci ${run.toolVersion}`,
  };
  const { source } = run;
  const environment = definedOnly({
    reportName: run.title,
    buildId: run.runId,
    buildUrl: source.jobUrl,
    repositoryName: source.repository,
    commit: source.commit,
    branchName: source.branch,
    testEnvironment: environments.length === 1 && environments[0] !== '' ? environments[0] : undefined,
    healthy: counts.failed + counts.other === 0 && counts.tests > 0 && run.complete,
    extra: definedOnly({
      environments: run.environments,
      pullRequest: source.pullRequest,
      complete: run.complete,
      exitCode: run.exitCode,
    }),
  });
  yield `${json(head).slice(0, -1)},"results":{"tool":${json({ name: 'mk-ci', version: run.toolVersion })},`;
  yield `"summary":${json(summary)},\n"tests":[`;
  let separator = '\n';
  for (const row of rowsOf(run)) {
    yield separator + json(testOf(row));
    separator = ',\n';
  }
  yield `\n],\n"environment":${json(environment)}}}\n`;
}

const STATUS = {
  passed: 'passed',
  failed: 'failed',
  error: 'failed',
  timedout: 'failed',
  skipped: 'skipped',
  notrun: 'other',
} as const satisfies Record<Status, string>;

function testOf({ kind, cell, test }: Row): object {
  const last = decisiveAttempt(test);
  const attributes = Object.entries(test.attributes ?? {});
  return definedOnly({
    name: test.id.name === '' ? '(unnamed)' : test.id.name,
    status: STATUS[test.status],
    rawStatus: test.status,
    duration: Math.round(last?.durationMs ?? 0),
    ...timesOf(last),
    suite: test.id.package === '' ? undefined : [test.id.package],
    ...problemOf(last),
    filePath: test.file,
    line: test.line,
    flaky: test.flaky && test.status === 'passed' ? true : undefined,
    ...(test.attempts.length > 1
      ? { retries: test.attempts.length - 1, retryAttempts: test.attempts.map(retryOf) }
      : {}),
    labels: definedOnly({
      environment: cell?.environment,
      cell: cell?.id,
      ...(kind === 'test' ? {} : { kind }),
      ...(attributes.length === 0 ? {} : Object.fromEntries(attributes)),
    }),
  });
}

function retryOf(attempt: TestAttempt): object {
  return definedOnly({
    attempt: attempt.attempt,
    status: STATUS[attempt.status],
    ...(attempt.durationMs === undefined ? {} : { duration: Math.round(attempt.durationMs) }),
    ...problemOf(attempt),
    ...timesOf(attempt),
    extra: { rawStatus: attempt.status, cellAttempt: attempt.cellAttempt },
  });
}

function problemOf(attempt: TestAttempt | undefined): { message?: string; trace?: string } {
  if (attempt === undefined) return {};
  if (attempt.status === 'skipped' && attempt.skipReason !== undefined) return { message: attempt.skipReason };
  if (!isBad(attempt.status) || attempt.failure === undefined) return {};
  const { message, text } = attempt.failure;
  return { message: stripAnsi(message), ...(text === undefined ? {} : { trace: stripAnsi(text) }) };
}

function timesOf(attempt: TestAttempt | undefined): { start?: number; stop?: number } {
  if (attempt?.startedAt === undefined) return {};
  const start = epochMs(attempt.startedAt);
  return attempt.durationMs === undefined ? { start } : { start, stop: start + Math.round(attempt.durationMs) };
}

function epochMs(moment: string): number {
  const ms = Date.parse(moment);
  return Number.isFinite(ms) ? ms : 0;
}

function definedOnly(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

function json(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === 'string' ? toWellFormed(item) : item));
}
