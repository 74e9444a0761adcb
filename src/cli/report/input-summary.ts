import type { MkCiError } from '../../errors.js';
import {
  addCounts,
  countPackages,
  countTests,
  NO_COUNTS,
  type CellResult,
  type Counts,
  type Repair,
} from '../../results/index.js';

/** What `mk-ci report --json` says of one input. Scripts rely on this shape (docs/formats.md). */
export interface InputSummary {
  readonly path: string;
  /** `null` when it could not be read. */
  readonly format: string | null;
  /** Distinct tests, each by package (or class name) and name. */
  readonly tests: number;
  /** Tests by the status of their last attempt; flaky ones are in their status too. */
  readonly counts: Counts;
  readonly packages: Counts;
  readonly repairs: readonly Repair[];
  readonly error?: { readonly code: string; readonly message: string };
}

export type TotalSummary = Pick<InputSummary, 'tests' | 'counts' | 'packages' | 'repairs'>;

export interface ReportSummary {
  readonly inputs: readonly InputSummary[];
  /** Sum of the inputs. */
  readonly total: TotalSummary;
}

export function summaryOfCells(
  path: string,
  format: string,
  cells: readonly CellResult[],
  repairs: readonly Repair[],
): InputSummary {
  return {
    path,
    format,
    tests: cells.reduce((sum, cell) => sum + cell.tests.length, 0),
    counts: addCounts(...cells.map((cell) => countTests(cell.tests))),
    packages: addCounts(...cells.map((cell) => countPackages(cell.packages))),
    repairs: [...cells.flatMap((cell) => cell.repairs), ...repairs],
  };
}

export function summaryOfError(path: string, { code, message }: MkCiError): InputSummary {
  return {
    path,
    format: null,
    tests: 0,
    counts: NO_COUNTS,
    packages: NO_COUNTS,
    repairs: [],
    error: { code, message },
  };
}

export function totalOfInputs(inputs: readonly InputSummary[]): TotalSummary {
  return {
    tests: inputs.reduce((sum, input) => sum + input.tests, 0),
    counts: addCounts(...inputs.map((input) => input.counts)),
    packages: addCounts(...inputs.map((input) => input.packages)),
    repairs: inputs.flatMap((input) => input.repairs),
  };
}

/** The summary for people: one line an input, repairs below it. */
export function formatReport({ inputs, total }: ReportSummary): string {
  const lines = inputs.flatMap((input) => [
    input.error === undefined
      ? `${input.path} (${input.format ?? ''}): ${describe(input)}`
      : `${input.path}: ${input.error.message} (${input.error.code})`,
    ...input.repairs.slice(0, 10).map((repair) => `  ${describeRepair(repair)}`),
    ...(input.repairs.length > 10 ? [`  and ${String(input.repairs.length - 10)} more`] : []),
  ]);
  if (inputs.length > 1) lines.push(`total: ${describe(total)}`);
  return `${lines.join('\n')}\n`;
}

function describe({ tests, counts, packages }: TotalSummary): string {
  const parts = countWords(counts);
  const failed = packages.failed + packages.error + packages.timedout + packages.notrun;
  const list = parts.length === 0 ? '' : `: ${parts.join(', ')}`;
  return `${String(tests)} ${tests === 1 ? 'test' : 'tests'}${list}${failed === 0 ? '' : `; ${String(failed)} ${failed === 1 ? 'package' : 'packages'} failed`}`;
}

function countWords(counts: Counts): string[] {
  const words: readonly (readonly [keyof Counts, string])[] = [
    ['passed', 'passed'],
    ['failed', 'failed'],
    ['error', 'with errors'],
    ['timedout', 'timed out'],
    ['notrun', 'unfinished'],
    ['skipped', 'skipped'],
    ['flaky', 'of them flaky'],
  ];
  return words.filter(([key]) => counts[key] > 0).map(([key, word]) => `${String(counts[key])} ${word}`);
}

function describeRepair({ kind, message, line, test, count }: Repair): string {
  const where = test === undefined ? (line === undefined ? '' : ` (line ${String(line)})`) : ` (${test.name})`;
  return `repaired: ${kind}${count === undefined ? '' : ` ×${String(count)}`}: ${message}${where}`;
}
