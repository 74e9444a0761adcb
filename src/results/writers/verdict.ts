import { isBad, type RunResult } from '../model.js';

/** What a run came to, in the order of weight: the first that applies. */
export type RunVerdict = 'infrastructure' | 'failed' | 'unfinished' | 'nothing-ran' | 'passed';

/**
 * - `infrastructure`: something outside the tests failed; never passed, whatever the tests did.
 * - `failed`: a test or a package is bad, or a cell ended badly (a command that exits 1 with all tests passed).
 * - `unfinished`: the run has no end: killed, or still going on.
 * - `nothing-ran`: no test was executed.
 */
export function verdictOf(run: RunResult): RunVerdict {
  if (run.errors.some(({ infrastructure }) => infrastructure)) return 'infrastructure';
  let executed = 0;
  for (const cell of run.cells) {
    if (isBad(cell.status) && cell.status !== 'notrun') return 'failed';
    if (cell.packages.some(({ status }) => isBad(status))) return 'failed';
    for (const { status } of cell.tests) {
      if (isBad(status)) return 'failed';
      if (status === 'passed') executed += 1;
    }
  }
  if (run.errors.length > 0) return 'failed';
  if (!run.complete) return 'unfinished';
  return executed === 0 ? 'nothing-ran' : 'passed';
}
