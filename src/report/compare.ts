import type { RunComparison } from '../results/index.js';
import type { PageComparison } from './shared/page-data.js';
import { cut } from './shared/visible.js';

const REMOVED_SHOWN = 500;

/** A comparison for the page: tests as indexes, names cut. */
export function pageComparison(comparison: RunComparison): PageComparison {
  const { title, newFailures, newBrokenPackages, fixed, slower, added, removed } = comparison;
  return {
    title: cut(title, 300),
    newFailures: newFailures.map(({ index }) => index),
    newBrokenPackages: newBrokenPackages.map(({ package: name, cell }) => ({ name: cut(name, 300), cell })),
    fixed: fixed.map(({ index }) => index),
    slower: slower.map(({ index, beforeMs, afterMs }) => ({ test: index, beforeMs, afterMs })),
    added: added.map(({ index }) => index),
    removed: removed.slice(0, REMOVED_SHOWN).map(({ package: pkg, name }) => cut(`${pkg} ${name}`.trim(), 300)),
    removedCount: removed.length,
  };
}
