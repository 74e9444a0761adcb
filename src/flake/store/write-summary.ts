import type { RunRecord } from './record.js';
import type { Written } from './sqlite-writer.js';

/** A `WriteSummary` while it grows. */
export interface GrowingSummary {
  runs: number;
  results: number;
  known: number;
  replaced: number;
  readonly excluded: { readonly uid: string; readonly reason: string }[];
}

export function emptySummary(): GrowingSummary {
  return { runs: 0, results: 0, known: 0, replaced: 0, excluded: [] };
}

export function addWritten(summary: GrowingSummary, record: RunRecord | undefined, outcome: Written): void {
  if (record === undefined || outcome === 'known') {
    summary.known += 1;
    return;
  }
  if (outcome === 'new') summary.runs += 1;
  else summary.replaced += 1;
  summary.results += record.results.length;
  if (record.excluded !== undefined) summary.excluded.push({ uid: record.uid, reason: record.excluded });
}
