import type { ComparedTest, RunComparison } from '../compare-runs.js';
import { countTests, totalOf } from '../counts.js';
import { isBad, STATUSES, testKey, type Counts, type RunResult, type Status, type TestId } from '../model.js';
import { markdownBlock, markdownCode, markdownLine } from './markdown-text.js';
import { decisiveAttempt, rowsOf, runDurationMs, totalDurationMs, type Row } from './rows.js';
import { verdictOf, type RunVerdict } from './verdict.js';

/** GitHub cuts nothing: it refuses a whole step summary above 1 MiB. Some room is left for what others append. */
export const SUMMARY_LIMIT_BYTES = 1024 * 1024 - 64 * 1024;

export interface MarkdownOptions {
  /** @default SUMMARY_LIMIT_BYTES */
  readonly limitBytes?: number;
  /** What changed from an earlier run. */
  readonly comparison?: RunComparison;
  /** Failed and counted earlier runs of a test in an environment. */
  readonly historyOf?: (
    test: TestId,
    environment: string,
  ) => { readonly failed: number; readonly runs: number } | undefined;
}

/** How much is told; each level less than the one before. */
interface Level {
  /** Lines of a failure's text; 0 leaves the folded details out. */
  readonly textLines: number;
  readonly failures: number;
  readonly others: number;
  readonly cells: number;
}

const LEVELS: readonly Level[] = [
  { textLines: 60, failures: 1000, others: 50, cells: 500 },
  { textLines: 20, failures: 1000, others: 50, cells: 500 },
  { textLines: 8, failures: 500, others: 20, cells: 200 },
  { textLines: 0, failures: 500, others: 20, cells: 100 },
  { textLines: 0, failures: 100, others: 10, cells: 50 },
  { textLines: 0, failures: 20, others: 0, cells: 10 },
  { textLines: 0, failures: 0, others: 0, cells: 0 },
];

/**
 * A run as Markdown for a step summary or a comment: verdict, counts, the failures first with their reason and folded
 * details, flaky and slowest tests. Grows no larger than the limit: details go first, then rows, and each list says how
 * much it leaves out. Text from outside can form no markup, mention nobody and load nothing.
 *
 * @see {@link https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary}
 */
export function renderMarkdown(run: RunResult, options: MarkdownOptions = {}): string {
  const limit = options.limitBytes ?? SUMMARY_LIMIT_BYTES;
  const facts = gather(run, options);
  let text = '';
  for (const level of LEVELS) {
    text = render(run, facts, level, limit);
    if (Buffer.byteLength(text) <= limit) return text;
  }
  return text;
}

interface Facts {
  readonly verdict: RunVerdict;
  readonly counts: Counts;
  readonly bad: readonly Row[];
  readonly flaky: readonly Row[];
  readonly comparison: RunComparison | undefined;
  /** `cell` and test of new failures. */
  readonly isNew: (row: Row) => boolean;
  /** Such as `3 of 40`; '' when nothing is known. */
  readonly pastOf: (row: Row) => string;
  readonly slowest: readonly { readonly row: Row; readonly durationMs: number }[];
}

function gather(run: RunResult, { comparison, historyOf }: MarkdownOptions): Facts {
  const bad: Row[] = [];
  const flaky: Row[] = [];
  const timed: { row: Row; durationMs: number }[] = [];
  for (const row of rowsOf(run)) {
    if (isBad(row.test.status)) bad.push(row);
    else if (row.test.flaky) flaky.push(row);
    const durationMs = row.kind === 'test' ? totalDurationMs(row.test) : undefined;
    if (durationMs !== undefined && durationMs >= 1000) timed.push({ row, durationMs });
  }
  const newOnes = new Set(comparison?.newFailures.map(({ cell, id }) => `${cell}\0${testKey(id)}`));
  timed.sort((a, b) => b.durationMs - a.durationMs);
  return {
    verdict: verdictOf(run),
    counts: countTests(run.cells.flatMap(({ tests }) => tests)),
    // Infrastructure explains other failures, so it comes first.
    bad: [...bad.filter(({ kind }) => kind === 'infra'), ...bad.filter(({ kind }) => kind !== 'infra')],
    flaky,
    comparison,
    isNew: ({ cell, test }) => newOnes.has(`${cell?.id ?? ''}\0${testKey(test.id)}`),
    pastOf: ({ cell, test }) => {
      const past = cell === undefined ? undefined : historyOf?.(test.id, cell.environment);
      return past === undefined || past.runs === 0 ? '' : `${past.failed} of ${past.runs}`;
    },
    slowest: timed.slice(0, 10),
  };
}

function render(run: RunResult, facts: Facts, level: Level, limit: number): string {
  const parts = [
    heading(run, facts),
    cellTable(run, level.cells),
    comparisonPart(facts.comparison, level),
    failureList(facts, level, limit),
    foldedTable(
      'Flaky: failed, then passed',
      ['Test', 'Where', 'Attempts'],
      facts.flaky,
      level.others,
      ({ cell, test }) => [
        markdownCode(fullName(test.id)),
        markdownLine(cell?.id ?? ''),
        test.attempts.map(({ status }) => SIGN[status]).join(''),
      ],
    ),
    foldedTable('Slowest', ['Test', 'Where', 'Time'], facts.slowest, level.others, ({ row, durationMs }) => [
      markdownCode(fullName(row.test.id)),
      markdownLine(row.cell?.id ?? ''),
      duration(durationMs),
    ]),
    repairNote(run),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

const VERDICT = {
  passed: '✅ Passed',
  failed: '❌ Failed',
  infrastructure: '💥 Infrastructure failed',
  unfinished: '⏳ Did not finish',
  'nothing-ran': '⚠️ No test ran',
} as const satisfies Record<RunVerdict, string>;

const SIGN = {
  passed: '✅',
  failed: '❌',
  error: '💥',
  timedout: '⏱️',
  notrun: '❔',
  skipped: '⏭️',
} as const satisfies Record<Status, string>;

function heading(run: RunResult, { verdict, counts }: Facts): string {
  const words = STATUSES.filter((status) => counts[status] > 0).map((status) => `${counts[status]} ${status}`);
  if (counts.flaky > 0) words.push(`${counts.flaky} flaky`);
  const total = totalOf(counts);
  const title = run.title === undefined || run.title.trim() === '' ? '' : `: ${markdownLine(run.title.slice(0, 300))}`;
  const took = runDurationMs(run) === 0 ? '' : ` in ${duration(runDurationMs(run))}`;
  const { commit, pullRequest, branch } = run.source;
  const origin = [
    pullRequest === undefined ? undefined : `pull request ${pullRequest}`,
    branch === undefined ? undefined : `branch ${markdownCode(branch)}`,
    commit === undefined ? undefined : `commit ${markdownCode(commit.slice(0, 12))}`,
    `run ${markdownCode(run.runId)}`,
  ].filter((part) => part !== undefined);
  return `## ${VERDICT[verdict]}${title}\n\n${total} tests: ${words.join(', ') || 'none'}${took} · ${origin.join(' · ')}\n`;
}

function cellTable(run: RunResult, limit: number): string {
  if (run.cells.length === 0 || limit === 0) return '';
  const columns = ['passed', 'failed', 'error', 'timedout', 'notrun', 'skipped', 'flaky'] as const;
  const rows = run.cells.slice(0, limit).map((cell) => {
    const counts = countTests(cell.tests);
    const numbers = columns.map((column) => (counts[column] === 0 ? '' : String(counts[column])));
    const time = cell.durationMs === undefined ? '' : duration(cell.durationMs);
    return `| ${SIGN[cell.status]} ${markdownLine(cell.id)} | ${numbers.join(' | ')} | ${time} |\n`;
  });
  const header = `| Cell | ${columns.join(' | ')} | Time |\n| --- |${' ---: |'.repeat(columns.length + 1)}\n`;
  return header + rows.join('') + leftOut(run.cells.length - rows.length, 'cells');
}

function failureList(facts: Facts, level: Level, limit: number): string {
  const { bad } = facts;
  if (bad.length === 0) return '';
  let text = `### ${bad.length} ${bad.length === 1 ? 'failure' : 'failures'}\n\n`;
  let shown = 0;
  // Texts are measured as they are added: a few long ones must not push the others out.
  let room = limit * 0.8;
  for (const row of bad.slice(0, level.failures)) {
    const entry = failureEntry(row, facts, level.textLines);
    room -= Buffer.byteLength(entry);
    if (room < 0) break;
    text += entry;
    shown += 1;
  }
  return text + leftOut(bad.length - shown, 'failures');
}

function failureEntry(row: Row, facts: Facts, textLines: number): string {
  const { cell, test } = row;
  const past = facts.pastOf(row);
  const known = `${facts.isNew(row) ? ' <b>new</b>' : ''}${past === '' ? '' : ` (failed ${past} earlier runs)`}`;
  const attempt = decisiveAttempt(test);
  const name = markdownCode(fullName(test.id));
  const tries = test.attempts.length > 1 ? ` (${test.attempts.length} attempts)` : '';
  const where = cell === undefined ? '' : ` · ${markdownLine(cell.id)}`;
  const reason = markdownLine((attempt?.failure?.message ?? REASON[test.status]).slice(0, 300));
  const summary = `${SIGN[test.status]} ${name}${where}${tries}${known}: ${reason}`;
  const text = attempt?.failure?.text;
  if (textLines === 0 || text === undefined) return `- ${summary}\n`;
  return `<details><summary>${summary}</summary>\n\n${markdownBlock(excerpt(text, textLines))}\n</details>\n`;
}

const REASON = {
  passed: '',
  skipped: '',
  failed: 'failed',
  error: 'error',
  timedout: 'was running when the time limit struck',
  notrun: 'started and never ended',
} as const satisfies Record<Status, string>;

/** The first lines and the last ones, each at most 500 characters. */
function excerpt(text: string, count: number): string {
  const lines = text.split('\n').map((line) => (line.length > 500 ? `${line.slice(0, 500)}…` : line));
  if (lines.length <= count) return lines.join('\n');
  const head = Math.ceil(count * 0.7);
  const tail = count - head;
  return [
    ...lines.slice(0, head),
    `… ${lines.length - head - tail} lines left out …`,
    ...(tail === 0 ? [] : lines.slice(-tail)),
  ].join('\n');
}

function foldedTable<T>(
  title: string,
  columns: readonly string[],
  entries: readonly T[],
  limit: number,
  cells: (entry: T) => readonly string[],
): string {
  if (entries.length === 0 || limit === 0) return '';
  const rows = entries.slice(0, limit).map((entry) => `| ${cells(entry).join(' | ')} |\n`);
  const table = `| ${columns.join(' | ')} |\n|${' --- |'.repeat(columns.length)}\n${rows.join('')}`;
  const rest = leftOut(entries.length - rows.length, 'tests');
  return `<details><summary>${title} (${entries.length})</summary>\n\n${table}${rest}\n</details>\n`;
}

/** What changed from the earlier run; '' without one. */
function comparisonPart(comparison: RunComparison | undefined, level: Level): string {
  if (comparison === undefined) return '';
  const { title, newFailures, newBrokenPackages, fixed, slower, added, removed } = comparison;
  const words = [
    `${newFailures.length} new ${newFailures.length === 1 ? 'failure' : 'failures'}`,
    ...(newBrokenPackages.length === 0 ? [] : [`${newBrokenPackages.length} newly broken packages`]),
    `${fixed.length} fixed`,
    `${slower.length} slower`,
    `${added.length} added`,
    `${removed.length} removed`,
  ];
  const place = ({ id, cell }: ComparedTest): string[] => [markdownCode(fullName(id)), markdownLine(cell)];
  const rows = Math.max(level.others, Math.min(level.failures, 20));
  return [
    `**Against ${markdownLine(title.slice(0, 300))}**: ${words.join(', ')}\n`,
    newFailures.length === 0
      ? ''
      : `${newFailures
          .slice(0, rows)
          .map((test) => `- new: ${place(test).join(' · ')}\n`)
          .join('')}${leftOut(Math.max(0, newFailures.length - rows), 'new failures')}`,
    newBrokenPackages
      .slice(0, rows)
      .map(({ package: name, cell }) => `- newly broken: ${markdownCode(name)} · ${markdownLine(cell)}\n`)
      .join(''),
    foldedTable('Fixed', ['Test', 'Where'], fixed, level.others, place),
    foldedTable('Slower', ['Test', 'Where', 'Before', 'Now'], slower, level.others, (test) => [
      ...place(test),
      duration(test.beforeMs),
      duration(test.afterMs),
    ]),
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function repairNote(run: RunResult): string {
  const kinds = new Map<string, number>();
  for (const { kind, count } of [...run.repairs, ...run.cells.flatMap(({ repairs }) => repairs)]) {
    kinds.set(kind, (kinds.get(kind) ?? 0) + (count ?? 1));
  }
  if (kinds.size === 0) return '';
  const list = [...kinds].slice(0, 20).map(([kind, count]) => `${markdownLine(kind)} × ${count}`);
  return `Irregularities in the test output: ${list.join(', ')}.\n`;
}

function leftOut(count: number, what: string): string {
  return count > 0 ? `\n… and ${count} more ${what}, see the report.\n` : '';
}

function fullName({ package: pkg, name }: { readonly package: string; readonly name: string }): string {
  const full = pkg === '' ? name : `${pkg} ${name}`;
  return full.length > 300 ? `${full.slice(0, 299)}…` : full;
}

function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
