import { countTests, totalOf } from '../../results/counts.js';
import { isBad, type CellResult, type RunResult } from '../../results/model.js';
import { failureText } from './failure-text.js';
import { oneLine, seconds } from './line-text.js';

const MAX_FAILURES = 20;

/** What a finished run says to people: a line per cell, failures with reasons. Ends with a line feed. */
export function runSummary(run: RunResult): string {
  const rows = run.cells.map((cell) => {
    const counts = countTests(cell.tests);
    const failed = counts.failed + counts.error + counts.timedout + counts.notrun;
    return [
      cell.id,
      cell.status,
      String(totalOf(counts)),
      String(counts.passed),
      String(failed),
      String(counts.flaky),
      String(counts.skipped),
      cell.durationMs === undefined ? '' : seconds(cell.durationMs),
    ];
  });
  const lines = [...formatTable(['cell', 'status', 'tests', 'passed', 'failed', 'flaky', 'skipped', 'time'], rows)];
  const failures = run.cells.flatMap((cell) => failuresOf(cell).map((text) => `${cell.id}: ${text}`));
  const flaky = run.cells.flatMap((cell) =>
    cell.tests.filter((test) => test.flaky && !isBad(test.status)).map((test) => `${cell.id}: ${test.id.name}`),
  );
  section(lines, 'Failed', failures);
  section(lines, 'Flaky, passed in a rerun', flaky);
  section(lines, 'Errors', [...errorLines(run)]);
  return `${lines.join('\n')}\n`;
}

/** Failed tests, then packages that failed by themselves: for the others their tests say why. */
function failuresOf({ tests, packages }: CellResult): string[] {
  const bad = tests.filter(({ status }) => isBad(status));
  const explained = new Set(bad.map(({ id }) => id.package));
  return [
    ...bad.map((test) => {
      const failure = test.attempts.findLast((attempt) => attempt.failure !== undefined)?.failure;
      return failureText(test.id.name, test.status, failure);
    }),
    ...packages
      .filter((item) => isBad(item.status) && !explained.has(item.package))
      .map((item) => failureText(item.package, item.status, item.failure)),
  ];
}

/** One line for each message, however many cells have it. */
function errorLines(run: RunResult): Set<string> {
  const cellsOf = new Map<string, string[]>();
  for (const error of run.errors) {
    const key = `${oneLine(error.message)} (${error.code})`;
    cellsOf.set(key, [...(cellsOf.get(key) ?? []), ...(error.cell === undefined ? [] : [error.cell])]);
  }
  return new Set(
    [...cellsOf].map(([message, cells]) =>
      cells.length === 0
        ? message
        : `${cells.slice(0, 3).join(', ')}${cells.length > 3 ? ` and ${cells.length - 3} more` : ''}: ${message}`,
    ),
  );
}

function section(lines: string[], title: string, items: readonly string[]): void {
  if (items.length === 0) return;
  lines.push('', `${title}:`, ...items.slice(0, MAX_FAILURES).map((item) => `  ${item}`));
  if (items.length > MAX_FAILURES) lines.push(`  … ${items.length - MAX_FAILURES} more in the report`);
}

/** Columns as wide as their widest text; numbers stand at the right. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const isNumber = head.map((_, at) => rows.length > 0 && rows.every((row) => /^\d+$/.test(row[at] ?? '')));
  return [head, ...rows].map((row) =>
    row
      .map((text, at) => (isNumber[at] ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
