import { csvLine } from '../export/csv.js';
import type { FlakeRate } from '../statistics/flake-rate.js';
import { duration, formatTable, percent, type Column } from './table.js';

/** Rates as a table; tests that never failed are counted in the last line unless `all`. */
export function ratesTable(
  rates: readonly FlakeRate[],
  options: {
    readonly color: boolean;
    readonly all: boolean;
    readonly window: string;
    /** Adds a column when anybody owns one of the tests. */
    readonly ownerOf?: (rate: FlakeRate) => string | undefined;
    /** Last line. @default how many there are, and how many of them never failed */
    readonly summary?: string;
  },
): string {
  const shown = options.all ? rates : rates.filter(({ failed }) => failed > 0);
  const several = (member: 'repository' | 'package'): boolean => new Set(rates.map((rate) => rate[member])).size > 1;
  const columns: Column<FlakeRate>[] = [
    ...(several('repository') ? [{ title: 'repository', value: (rate: FlakeRate) => rate.repository }] : []),
    { title: 'environment', value: ({ environment }) => environment, maxWidth: 32 },
    ...(several('package') ? [{ title: 'package', value: (rate: FlakeRate) => rate.package, maxWidth: 40 }] : []),
    { title: 'test', value: ({ test }) => test, maxWidth: 70 },
    {
      title: 'rate',
      align: 'right',
      value: ({ rate }) => percent(rate),
      color: ({ rate = 0 }) => (rate >= 0.5 ? 'red' : rate > 0 ? 'yellow' : undefined),
    },
    { title: 'failed', align: 'right', value: ({ failed, attempts }) => `${failed} of ${attempts}` },
    {
      title: '95 % interval',
      align: 'right',
      value: ({ interval }) => `${percent(interval.low)} – ${percent(interval.high)}`,
    },
    {
      title: 'mixed commits',
      align: 'right',
      value: ({ mixedCommits, failingCommits }) =>
        failingCommits === 0 ? '–' : `${mixedCommits} of ${failingCommits}`,
    },
    { title: 'runs', align: 'right', value: ({ runs }) => String(runs) },
    { title: 'mean time', align: 'right', value: ({ durationMs }) => duration(durationMs) },
    ...(shown.some((rate) => options.ownerOf?.(rate) !== undefined)
      ? [{ title: 'owner', value: (rate: FlakeRate) => options.ownerOf?.(rate) ?? '–', maxWidth: 32 }]
      : []),
  ];
  const clean = rates.length - rates.filter(({ failed }) => failed > 0).length;
  const counted = `${rates.length} tests × environments ${options.window}; ${clean} never failed${options.all || clean === 0 ? '' : ' and are not listed (--all)'}.`;
  return `${shown.length === 0 ? '' : `${formatTable(shown, columns, options)}\n`}${options.summary ?? counted}\n`;
}

/** Rates as RFC 4180 with a header; rates and bounds in 0…1. */
export function ratesCsv(rates: readonly FlakeRate[]): string {
  const header = [
    'repository',
    'environment',
    'package',
    'test',
    'failed',
    'passed',
    'attempts',
    'rate',
    'low',
    'high',
    'runs',
    'failed_runs',
    'mixed_runs',
    'mixed_commits',
    'skipped',
    'error',
    'notrun',
    'duration_ms',
  ];
  const lines = rates.map((rate) =>
    csvLine([
      rate.repository,
      rate.environment,
      rate.package,
      rate.test,
      rate.failed,
      rate.passed,
      rate.attempts,
      rate.rate,
      rate.interval.low,
      rate.interval.high,
      rate.runs,
      rate.failedRuns,
      rate.mixedRuns,
      rate.mixedCommits,
      rate.leftOut.skipped,
      rate.leftOut.error,
      rate.leftOut.notrun,
      rate.durationMs,
    ]),
  );
  return [csvLine(header), ...lines, ''].join('\n');
}
