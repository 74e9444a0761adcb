import { plural } from '../../results/text.js';
import { safeCode, safeFence, safeLink, safeText } from '../text/safe.js';
import type { Subject } from './decide.js';
import type { EnvironmentHealth } from './model.js';

export interface IssueLinks {
  readonly repositoryUrl?: string;
  /** Chart of a test in an environment. */
  readonly chart?: (test: string, environment: string) => string | undefined;
}

const BARS = '▁▂▃▄▅▆▇█';
const MOST_ROWS = 60;

/** The generated part of an issue: numbers by environment, history, last failures. */
export function renderIssueBlock(
  subject: Subject,
  links: IssueLinks,
  extra: { readonly follows?: number; readonly teams?: readonly string[] } = {},
): string {
  const rows = subject.tests
    .flatMap((test) => test.environments.map((environment) => ({ test, environment })))
    .filter(({ environment }) => environment.failed > 0)
    .sort(
      (a, b) =>
        b.environment.low - a.environment.low || (a.environment.environment < b.environment.environment ? -1 : 1),
    );
  const intro =
    subject.signature === undefined
      ? `This test fails often. ${safeCode(subject.tests[0]?.id.package ?? '')} ${safeCode(subject.tests[0]?.id.name ?? '')}`
      : `${plural(subject.tests.length, 'test')} fail in the same way:\n\n${safeFence(subject.signature.slice(0, 1_000))}`;
  const last = rows[0]?.environment.failures[0]?.message;
  return [
    intro,
    ...(extra.teams?.length ? [`Owners: ${extra.teams.map((team) => `@${team}`).join(' ')}`] : []),
    ...(extra.follows === undefined ? [] : [`Seen before in #${extra.follows}.`]),
    [
      `| ${subject.tests.length > 1 ? 'Test | ' : ''}Environment | State | Failed | 95 % interval | History by day | Last failures |`,
      `| ${subject.tests.length > 1 ? '--- | ' : ''}--- | --- | ---: | --- | --- | --- |`,
      ...rows
        .slice(0, MOST_ROWS)
        .map(
          ({ test, environment }) =>
            `| ${subject.tests.length > 1 ? `${safeCode(test.id.name, 150)} | ` : ''}${rowOf(test.id.name, environment, links)} |`,
        ),
    ].join('\n'),
    ...(rows.length > MOST_ROWS ? [`And ${rows.length - MOST_ROWS} more.`] : []),
    ...(last === undefined || subject.signature !== undefined ? [] : [safeFence(last.slice(0, 1_000))]),
    '<sub>mk-ci keeps this part up to date and closes the issue when the test is healthy again. Write below it; your text stays.</sub>',
  ].join('\n\n');
}

function rowOf(test: string, one: EnvironmentHealth, { chart, repositoryUrl }: IssueLinks): string {
  const name = safeLink(safeText(one.environment), chart?.(test, one.environment));
  const failures = one.failures.slice(0, 3).map(({ atMs, commit, url }) => {
    const day = new Date(atMs).toISOString().slice(0, 10);
    const page =
      url ??
      (repositoryUrl !== undefined && commit !== undefined && /^[0-9a-f]{7,64}$/.test(commit)
        ? `${repositoryUrl}/commit/${commit}`
        : undefined);
    return safeLink(day, page);
  });
  return `${name} | ${one.state} | ${one.failed} of ${one.attempts} | ${percent(one.low)}–${percent(one.high)} | ${sparkline(one)} | ${failures.join(', ')}`;
}

function sparkline({ days }: EnvironmentHealth): string {
  return days
    .slice(-20)
    .map(({ failed, attempts }) => BARS[attempts === 0 ? 0 : Math.round((failed / attempts) * (BARS.length - 1))] ?? '')
    .join('');
}

function percent(share: number): string {
  const value = share * 100;
  return `${value < 10 && value > 0 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** What the bot says below an issue; short, with the numbers. */
export function renderIssueComment(
  kind: 'again' | 'healthy' | 'broken' | 'passes' | 'weekly',
  subject: Subject,
  _links: IssueLinks,
): string {
  const all = subject.tests.flatMap(({ environments }) => environments);
  const failed = all.reduce((sum, one) => sum + one.failed, 0);
  const attempts = all.reduce((sum, one) => sum + one.attempts, 0);
  const numbers = `${failed} of ${attempts} attempts failed in the last 30 days`;
  switch (kind) {
    case 'again':
      return `It fails again: ${numbers}.`;
    case 'healthy':
      return `Healthy again in every environment: ${numbers}.`;
    case 'broken':
      return `It fails on every commit now: ${numbers}. This is a break, not a flake.`;
    case 'passes':
      return `It passes again on the default branch and is watched: ${numbers}.`;
    case 'weekly':
      return `Still failing: ${numbers}.`;
    default:
      return kind satisfies never;
  }
}
