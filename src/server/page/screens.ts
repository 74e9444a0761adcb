/** One function a page: model in, elements out. */

import type {
  CommitPage,
  EnvironmentDay,
  EnvironmentPage,
  Overview,
  PageModel,
  RankedEnvironment,
} from '../../flake/charts/schemas.js';
import { element, visible } from '../../report/page/dom.js';
import { formatCount, formatDuration, plural } from '../../report/shared/format.js';
import { formatShare, timeOf, weeksOf } from '../shared/chart-data.js';
import { chartFigure, shorten, type Curve, type Dot } from './chart.js';
import {
  byDayOrWeek,
  curveColor,
  factRow,
  firstPeriod,
  folded,
  growthCell,
  heading,
  link,
  omitted,
  outside,
  periodOf,
  rateCell,
  rateDots,
  section,
  table,
  testColumns,
  windowText,
  type Column,
  type Screen,
} from './parts.js';
import { testScreen } from './test-screen.js';

/** Curves that one chart can show and still be read. */
const MOST_CURVES = 10;

export function screenOf(model: PageModel, screen: Screen): HTMLElement {
  switch (model.kind) {
    case 'overview':
      return overviewScreen(model, screen);
    case 'environment':
      return environmentScreen(model, screen);
    case 'test':
      return testScreen(model, screen);
    case 'commit':
      return commitScreen(model, screen);
    default:
      return model satisfies never;
  }
}

export function titleOf(model: PageModel): string {
  if (model.kind === 'overview') return model.repository ?? 'Test history';
  if (model.kind === 'environment') return model.environment;
  return model.kind === 'test' ? model.test : model.commit.slice(0, 12);
}

function overviewScreen(model: Overview, screen: Screen): HTMLElement {
  const { totals, environments, tests, commits } = model;
  const shown = environments.slice(0, MOST_CURVES);
  return element(
    'div',
    { class: 'page overview' },
    heading(
      [],
      (model.repository ?? (model.repositories.length === 1 ? (model.repositories[0] ?? '') : '')) || 'All tests',
      element('small', { class: 'dim' }, windowText(model.window)),
    ),
    factRow([
      { value: formatCount(totals.runs), label: 'runs' },
      { value: formatCount(totals.tests), label: 'tests executed' },
      {
        value: formatCount(totals.failedTests),
        label: 'of them failed',
        ...(totals.failedTests > 0 ? { tone: 'bad' } : {}),
      },
      {
        value: formatCount(totals.failingTests),
        label: 'tests that failed',
        note: 'tests × environments with a failure in the window',
      },
      { value: formatCount(environments.length + (model.leftOut['environments'] ?? 0)), label: 'environments' },
      ...(totals.excludedRuns === 0
        ? []
        : [
            {
              value: formatCount(totals.excludedRuns),
              label: 'runs left out',
              note: 'failures of the infrastructure: in no rate',
            },
          ]),
    ]),
    section(
      'Failed tests',
      byDayOrWeek((by) => failuresChart(shown, by), firstPeriod((shown[0]?.days ?? []).map(({ runs }) => runs))),
      environments.length > shown.length
        ? element(
            'p',
            { class: 'dim' },
            `The ${String(MOST_CURVES)} environments with the most failures; all are listed below.`,
          )
        : undefined,
    ),
    section(
      'Environments',
      table(environments, environmentColumns(screen), 'No run in this window.'),
      omitted(screen, 'environments', 'environments'),
    ),
    section(
      'Tests that fail most',
      folded(20, tests.length, (count) =>
        table(tests.slice(0, count), testColumns(screen, true), 'No test failed in this window.'),
      ),
      omitted(screen, 'tests', 'tests that failed'),
    ),
    section(
      'Time of a run',
      byDayOrWeek((by) => durationsChart(shown, by)),
    ),
    section(
      'Newest commits',
      folded(15, commits.length, (count) =>
        table(
          commits.slice(0, count),
          [
            {
              title: 'Commit',
              cell: ({ commit, repository }) =>
                link(screen, { kind: 'commit', commit, repository }, commit.slice(0, 12), 'mono'),
            },
            { title: 'Newest run', narrow: true, cell: ({ lastAt }) => lastAt.slice(0, 16).replace('T', ' ') },
            {
              title: 'Of',
              cell: ({ branch, pullRequest }) =>
                visible(pullRequest === undefined ? (branch ?? '–') : `PR #${String(pullRequest)}`, 60),
            },
            { title: 'Runs', numeric: true, cell: ({ runs }) => formatCount(runs) },
            { title: 'Environments', numeric: true, cell: (row) => formatCount(row.environments) },
            {
              title: 'Failed tests',
              numeric: true,
              cell: (row) => `${formatCount(row.failedTests)} of ${formatCount(row.tests)}`,
            },
          ],
          'No commit in this window.',
        ),
      ),
    ),
  );
}

function environmentColumns(screen: Screen): Column<RankedEnvironment>[] {
  return [
    { title: '#', numeric: true, cell: ({ rank }) => String(rank) },
    {
      title: 'Environment',
      cell: ({ environment }) =>
        link(screen, { kind: 'environment', environment, ...repositoryOf(screen) }, environment, 'name'),
    },
    {
      title: 'Failed a run, lately',
      hint: 'failed tests a run over the 15 newest days with a run',
      numeric: true,
      cell: ({ recent }) => {
        const text = `${formatCount(recent.failedTests)} in ${plural(recent.runs, 'run')} on ${plural(recent.days, 'day')}`;
        return element('span', { title: text }, recent.perRun.toFixed(recent.perRun < 10 ? 2 : 1));
      },
    },
    {
      title: 'Growth',
      hint: 'failed tests a run, against the 15 days before',
      numeric: true,
      cell: ({ growth }) => growthCell(growth, 2, ''),
    },
    {
      title: 'Failed in the window',
      numeric: true,
      cell: (row) => `${formatCount(row.failedTests)} of ${formatCount(row.tests)}`,
    },
    { title: 'Runs', numeric: true, cell: (row) => formatCount(row.runs) },
    {
      title: 'Left out',
      hint: 'runs that say nothing of their tests: failures of the infrastructure',
      numeric: true,
      cell: (row) => String(row.excludedRuns),
    },
    {
      title: 'Time of a run',
      numeric: true,
      cell: ({ durationMs }) => (durationMs === undefined ? '–' : formatDuration(durationMs)),
    },
    { title: 'Newest run', narrow: true, cell: ({ lastDay }) => lastDay },
  ];
}

function repositoryOf(screen: Screen): { readonly repository?: string } {
  const { repository } = screen.route;
  return repository === undefined ? {} : { repository };
}

interface DaysOf {
  readonly environment: string;
  readonly days: readonly EnvironmentDay[];
}

function failuresChart(environments: readonly DaysOf[], by: 'day' | 'week'): HTMLElement {
  return chartFigure({
    title: `Failed tests a run, by ${by}`,
    formatY: (value) => formatCount(Math.round(value * 100) / 100),
    formatX: periodOf(by),
    curves: curvesOf(environments, by, (day) =>
      day.runs === 0
        ? undefined
        : {
            y: day.failedTests / day.runs,
            lines: [
              `${(day.failedTests / day.runs).toFixed(1)} a run`,
              `${formatCount(day.failedTests)} of ${formatCount(day.tests)} tests failed in ${plural(day.runs, 'run')}`,
              ...(day.excludedRuns > 0 ? [`${plural(day.excludedRuns, 'run')} left out`] : []),
            ],
          },
    ),
  });
}

function durationsChart(environments: readonly DaysOf[], by: 'day' | 'week'): HTMLElement {
  return chartFigure({
    title: `Mean time of a run, by ${by}`,
    durations: true,
    formatY: formatDuration,
    formatX: periodOf(by),
    curves: curvesOf(environments, by, ({ durationMs, runs }) =>
      durationMs === undefined
        ? undefined
        : { y: durationMs, lines: [`${formatDuration(durationMs)}, mean of ${plural(runs, 'run')}`] },
    ),
  });
}

function curvesOf(
  environments: readonly DaysOf[],
  by: 'day' | 'week',
  dotOf: (day: EnvironmentDay) => Pick<Dot, 'y' | 'lines'> | undefined,
): Curve[] {
  return environments.map(({ environment, days }, index) => ({
    label: environment,
    color: curveColor(index),
    dots: (by === 'day' ? days : weeksOf(days)).flatMap((day) => {
      const dot = dotOf(day);
      return dot === undefined ? [] : [{ x: timeOf(day.at), ...dot }];
    }),
  }));
}

function environmentScreen(model: EnvironmentPage, screen: Screen): HTMLElement {
  const { tests, environment, days } = model;
  const drawn = tests.filter((test) => test.days !== undefined);
  const sum = (key: 'runs' | 'tests' | 'failedTests' | 'excludedRuns'): number =>
    days.reduce((all, day) => all + day[key], 0);
  const one = [{ environment, days }];
  return element(
    'div',
    { class: 'page environment' },
    heading(
      [link(screen, { kind: 'overview', ...repositoryOf(screen) }, 'Overview')],
      environment,
      element('small', { class: 'dim' }, windowText(model.window)),
    ),
    factRow([
      { value: formatCount(sum('runs')), label: 'runs' },
      { value: formatCount(sum('tests')), label: 'tests executed' },
      {
        value: formatCount(sum('failedTests')),
        label: 'of them failed',
        ...(sum('failedTests') > 0 ? { tone: 'bad' } : {}),
      },
      { value: formatCount(tests.length + (model.leftOut['tests'] ?? 0)), label: 'tests that failed' },
      ...(sum('excludedRuns') === 0
        ? []
        : [
            {
              value: formatCount(sum('excludedRuns')),
              label: 'runs left out',
              note: 'failures of the infrastructure: in no rate',
            },
          ]),
    ]),
    section(
      `The ${drawn.length < 10 ? '' : '10 '}tests that fail most`,
      byDayOrWeek(
        (by) =>
          chartFigure({
            title: `Failed share of attempts, by ${by}`,
            formatY: formatShare,
            formatX: periodOf(by),
            mostY: 1,
            height: 'tall',
            curves: drawn.map((test, index) => ({
              label: shorten(test.test, 90),
              color: curveColor(index),
              dots: rateDots((by === 'day' ? test.days : test.weeks) ?? []),
            })),
          }),
        firstPeriod((drawn[0]?.days ?? []).map(({ attempts }) => attempts)),
      ),
    ),
    section(
      'Ranking',
      table(tests, testColumns(screen, false), 'No test failed here in this window.'),
      omitted(screen, 'tests', 'tests that failed'),
    ),
    element(
      'div',
      { class: 'columns' },
      section(
        'Failed tests',
        byDayOrWeek((by) => failuresChart(one, by)),
      ),
      section(
        'Time of a run',
        byDayOrWeek((by) => durationsChart(one, by)),
      ),
    ),
    section(
      'Tests executed',
      byDayOrWeek((by) =>
        chartFigure({
          title: `Tests executed a run, by ${by}`,
          formatY: (value) => formatCount(Math.round(value)),
          formatX: periodOf(by),
          curves: curvesOf(one, by, (day) =>
            day.runs === 0
              ? undefined
              : {
                  y: day.tests / day.runs,
                  lines: [
                    `${(day.tests / day.runs).toFixed(0)} a run, ${formatCount(day.tests)} in ${plural(day.runs, 'run')}`,
                  ],
                },
          ),
        }),
      ),
    ),
  );
}

function commitScreen(model: CommitPage, screen: Screen): HTMLElement {
  const { repository, commit, runs, failures } = model;
  const newest = runs[0];
  const failed = runs.reduce((sum, run) => sum + run.failedTests, 0);
  const hub = /^[\w.-]+\/[\w.-]+$/.test(repository) && /^[0-9a-f]{40}$/.test(commit);
  const mixed = failures.filter(({ here }) => here.failed < here.attempts).length;
  return element(
    'div',
    { class: 'page commit' },
    heading(
      [
        link(screen, { kind: 'overview', ...repositoryOf(screen) }, 'Overview'),
        element('span', {}, visible(repository, 200)),
      ],
      commit,
      ...(hub ? [outside(`https://github.com/${repository}/commit/${commit}`, 'code ↗')] : []),
    ),
    factRow([
      { value: formatCount(runs.length + (model.leftOut['runs'] ?? 0)), label: 'runs' },
      { value: formatCount(new Set(runs.map(({ environment }) => environment)).size), label: 'environments' },
      { value: formatCount(failed), label: 'failed tests', ...(failed > 0 ? { tone: 'bad' } : {}) },
      { value: formatCount(mixed), label: 'failed and passed', note: 'on this very commit: flakes' },
      ...(newest === undefined ? [] : [{ value: newest.at.slice(0, 10), label: 'newest run' }]),
    ]),
    section(
      'Tests that failed on this commit',
      table(
        failures,
        [
          {
            title: 'Test',
            cell: ({ here: _here, usual: _usual, ...name }) => {
              const cell = element(
                'span',
                { class: 'who' },
                link(screen, { kind: 'test', ...name }, name.test, 'name'),
              );
              cell.append(
                element(
                  'small',
                  { class: 'dim' },
                  link(screen, { kind: 'environment', environment: name.environment }, name.environment),
                  name.package === '' ? undefined : ' · ',
                  visible(name.package, 120),
                ),
              );
              return cell;
            },
          },
          {
            title: 'Here',
            hint: 'attempts on this commit',
            cell: ({ here }) =>
              element(
                'span',
                { class: here.failed < here.attempts ? 's-flaky status' : 's-failed status' },
                here.failed < here.attempts
                  ? `failed ${String(here.failed)} of ${String(here.attempts)}: flaky`
                  : `failed all ${String(here.attempts)}`,
              ),
          },
          { title: 'The 30 days before', cell: ({ usual }) => rateCell(usual) },
        ],
        'No test failed on this commit.',
      ),
      omitted(screen, 'failures', 'failed tests'),
    ),
    section(
      'Runs',
      table(
        runs,
        [
          { title: 'When', narrow: true, cell: ({ at }) => at.slice(0, 16).replace('T', ' ') },
          {
            title: 'Environment',
            cell: ({ environment }) => link(screen, { kind: 'environment', environment }, environment),
          },
          { title: 'Suite', cell: ({ suite }) => visible(suite, 80) },
          {
            title: 'Failed',
            numeric: true,
            cell: (run) => `${formatCount(run.failedTests)} of ${formatCount(run.tests)}`,
          },
          {
            title: 'Time',
            numeric: true,
            cell: ({ durationMs }) => (durationMs === undefined ? '–' : formatDuration(durationMs)),
          },
          {
            title: 'Counted',
            cell: ({ excluded, complete }) =>
              excluded === undefined ? (complete ? 'yes' : 'did not end') : visible(`no: ${excluded}`, 120),
          },
          {
            title: 'Report',
            cell: ({ url }) => (url === undefined ? element('span', { class: 'dim' }, '–') : outside(url, 'open ↗')),
          },
        ],
        'No run of this commit.',
      ),
      omitted(screen, 'runs', 'runs'),
    ),
  );
}
