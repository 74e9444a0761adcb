/** The page of one test in one environment. */

import type { TestPage, TestRun } from '../../flake/charts/schemas.js';
import { element, visible } from '../../report/page/dom.js';
import { formatCount, formatDuration, plural } from '../../report/shared/format.js';
import { formatDate, formatOf, formatShare, timeOf } from '../shared/chart-data.js';
import { formatRoute } from '../shared/route.js';
import { chartFigure, type Curve, type Mark } from './chart.js';
import {
  byDayOrWeek,
  factRow,
  firstPeriod,
  folded,
  heading,
  lines,
  link,
  omitted,
  outside,
  periodOf,
  rateCell,
  rateDots,
  section,
  table,
  windowText,
  type Screen,
} from './parts.js';

/** How each status is drawn: colour and shape, so that it reads without colours too. */
const STATUS_LOOKS = {
  passed: { color: '--passed', shape: 'circle' },
  failed: { color: '--failed', shape: 'crossRot' },
  timedout: { color: '--timedout', shape: 'triangle' },
  error: { color: '--error', shape: 'rect' },
  notrun: { color: '--notrun', shape: 'rect' },
  skipped: { color: '--skipped', shape: 'rect' },
} as const satisfies Record<TestRun['status'], Pick<Curve, 'color' | 'shape'>>;

export function testScreen(model: TestPage, screen: Screen): HTMLElement {
  const { rate, repository, environment, package: pkg, test, changepoints, signatures, attempts } = model;
  const marks = changepoints.map(({ at, before, after }): Mark => ({
    x: timeOf(at.slice(0, 10)),
    label: `${formatShare(before.rate)} → ${formatShare(after.rate)}`,
  }));
  return element(
    'div',
    { class: 'page of-test' },
    heading(
      [
        link(screen, { kind: 'overview' }, 'Overview'),
        link(screen, { kind: 'environment', environment }, environment),
        ...(pkg === '' ? [] : [element('span', {}, visible(pkg, 200))]),
      ],
      test,
      element('small', { class: 'dim' }, windowText(model.window)),
    ),
    factRow([
      {
        value: rate.rate === undefined ? '–' : formatShare(rate.rate),
        label: `failed: ${formatOf(rate)} attempts`,
        ...(rate.failed > 0 ? { tone: 'bad' } : {}),
      },
      {
        value: `${formatShare(rate.low)} – ${formatShare(rate.high)}`,
        label: '95 % interval',
        note: `failures come in bursts: variance ${model.dispersion.toFixed(1)} times that of independent attempts`,
      },
      {
        value: `${formatCount(model.mixedCommits)} of ${formatCount(model.failingCommits)}`,
        label: 'failing commits mixed',
        note: 'passed and failed on the same commit: the proof of a flake',
      },
      {
        value: `${formatCount(model.failedRuns)} of ${formatCount(model.runs)}`,
        label: 'runs failed',
        note: `${plural(model.mixedRuns, 'run')} with both outcomes`,
      },
      { value: model.durationMs === undefined ? '–' : formatDuration(model.durationMs), label: 'mean time' },
    ]),
    ...changepoints.map((change) => changeNotice(change, repository, screen)),
    section(
      'Failed share',
      byDayOrWeek(
        (by) => {
          const points = by === 'day' ? model.days : model.weeks;
          return chartFigure({
            title: `Failed share of attempts, by ${by}, with 95 % interval`,
            formatY: formatShare,
            formatX: periodOf(by),
            mostY: 1,
            marks,
            height: 'tall',
            curves: [{ label: 'failed share', color: '--accent', dots: rateDots(points), band: points }],
          });
        },
        firstPeriod(model.days.map(({ attempts: count }) => count)),
      ),
    ),
    section(
      'Every attempt',
      chartFigure({
        title: 'Time of each attempt; a dot leads to its report',
        durations: true,
        formatY: formatDuration,
        formatX: (time) => `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`,
        marks,
        height: 'tall',
        curves: attemptCurves(model, screen),
      }),
      omitted(screen, 'attempts', 'older attempts'),
    ),
    section(
      'Why it failed',
      table(
        signatures,
        [
          { title: 'Times', numeric: true, cell: ({ count }) => formatCount(count) },
          {
            title: 'Failure',
            cell: ({ text, weak }) => {
              const cell = element('div', { class: 'signature' }, lines(text, 600));
              if (weak) cell.append(element('small', { class: 'dim' }, 'names no cause'));
              return cell;
            },
          },
          { title: 'First seen', narrow: true, cell: ({ firstAt }) => firstAt.slice(0, 10) },
          { title: 'Last seen', narrow: true, cell: ({ lastAt }) => lastAt.slice(0, 10) },
        ],
        rate.failed === 0 ? 'It did not fail in this window.' : 'No message of its failures is in the database.',
      ),
      omitted(screen, 'signatures', 'signatures'),
    ),
    section(
      'Attempts',
      folded(50, attempts.length, (count) => attemptTable(attempts.slice(0, count), repository, screen)),
    ),
    model.environments.length < 2
      ? undefined
      : section(
          'The same test elsewhere',
          table(
            model.environments,
            [
              {
                title: 'Environment',
                cell: (row) =>
                  row.environment === environment
                    ? element('strong', {}, visible(environment, 120))
                    : link(
                        screen,
                        { kind: 'test', repository, environment: row.environment, package: pkg, test },
                        row.environment,
                      ),
              },
              { title: 'Failed', cell: (row) => rateCell(row.rate) },
            ],
            '',
          ),
          omitted(screen, 'environments', 'environments'),
        ),
  );
}

function changeNotice(change: TestPage['changepoints'][number], repository: string, screen: Screen): HTMLElement {
  const { before, after, certainty, rangeCommits } = change;
  const isWorse = after.rate > before.rate;
  const words =
    rangeCommits === 1
      ? [
          ' with ',
          link(screen, { kind: 'commit', repository, commit: change.commit }, change.commit.slice(0, 12), 'mono'),
        ]
      : [
          ` within ${String(rangeCommits)} commits, `,
          link(
            screen,
            { kind: 'commit', repository, commit: change.fromCommit },
            change.fromCommit.slice(0, 12),
            'mono',
          ),
          ' to ',
          link(screen, { kind: 'commit', repository, commit: change.toCommit }, change.toCommit.slice(0, 12), 'mono'),
        ];
  return element(
    'p',
    { class: `note change ${isWorse ? 's-failed' : 's-passed'}` },
    element('strong', {}, isWorse ? 'Fails more often' : 'Fails less often'),
    ` since ${formatDate(Date.parse(change.at), true)}: ${formatShare(before.rate)} over ${plural(before.commits, 'commit')} → ${formatShare(after.rate)} over ${plural(after.commits, 'commit')}, changed`,
    ...words,
    certainty === 'suspect' ? ' (suspected)' : '',
  );
}

function attemptCurves(model: TestPage, screen: Screen): Curve[] {
  const curves = Object.entries(STATUS_LOOKS).map(([status, look]): Curve => ({
    label: status,
    ...look,
    dotsOnly: true,
    dots: model.attempts
      .filter((attempt) => attempt.status === status && attempt.durationMs !== undefined)
      .map((attempt) => {
        const commit = commitRoute(attempt, model.repository, screen);
        const href = attempt.url ?? commit;
        return {
          x: Date.parse(attempt.at),
          y: attempt.durationMs ?? 0,
          lines: [
            `${status}${attempt.attempt > 1 ? `, attempt ${String(attempt.attempt)}` : ''} in ${formatDuration(attempt.durationMs ?? 0)}`,
            ...(attempt.commit === undefined ? [] : [`commit ${attempt.commit.slice(0, 12)}`]),
            ...(attempt.pullRequest === undefined ? [] : [`pull request #${String(attempt.pullRequest)}`]),
            ...(attempt.excluded === undefined ? [] : ['in no rate: infrastructure']),
          ],
          ...(href === undefined ? {} : { href }),
        };
      }),
  }));
  return curves.filter(({ dots }) => dots.length > 0);
}

function commitRoute(attempt: TestRun, repository: string, screen: Screen): string | undefined {
  if (attempt.commit === undefined) return undefined;
  const route = { kind: 'commit', repository, commit: attempt.commit } as const;
  return screen.source.has(route) ? formatRoute(route) : undefined;
}

function attemptTable(attempts: readonly TestRun[], repository: string, screen: Screen): HTMLElement {
  return table(
    attempts,
    [
      { title: 'When', narrow: true, cell: ({ at }) => at.slice(0, 16).replace('T', ' ') },
      {
        title: 'Status',
        cell: ({ status, attempt, excluded }) =>
          element(
            'span',
            { class: `status s-${status}` },
            `${status}${attempt > 1 ? ` (attempt ${String(attempt)})` : ''}${excluded === undefined ? '' : ', not counted'}`,
          ),
      },
      {
        title: 'Time',
        numeric: true,
        cell: ({ durationMs }) => (durationMs === undefined ? '–' : formatDuration(durationMs)),
      },
      {
        title: 'Commit',
        cell: ({ commit }) =>
          commit === undefined
            ? element('span', { class: 'dim' }, '–')
            : link(screen, { kind: 'commit', repository, commit }, commit.slice(0, 12), 'mono'),
      },
      {
        title: 'Of',
        cell: ({ branch, pullRequest }) =>
          visible(pullRequest === undefined ? (branch ?? '–') : `PR #${String(pullRequest)}`, 60),
      },
      {
        title: 'Signature',
        cell: ({ signature }) => element('span', { class: 'mono dim' }, signature?.slice(0, 8) ?? ''),
      },
      {
        title: 'Report',
        cell: ({ url }) => (url === undefined ? element('span', { class: 'dim' }, '–') : outside(url, 'open ↗')),
      },
    ],
    'No attempt in this window.',
  );
}
