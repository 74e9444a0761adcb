import type { ComparedTest, RunComparison } from '../../results/index.js';

const SHOWN = 20;

/** `against` of `mk-ci report --json`: what changed, tests by package, name and cell. */
export function comparisonJson(comparison: RunComparison): object {
  const place = ({ id, cell }: ComparedTest) => ({ ...id, cell });
  const { title, newFailures, newBrokenPackages, fixed, slower, added, removed } = comparison;
  return {
    title,
    newFailures: newFailures.map(place),
    newBrokenPackages,
    fixed: fixed.map(place),
    slower: slower.map((test) => ({ ...place(test), beforeMs: test.beforeMs, afterMs: test.afterMs })),
    added: added.map(place),
    removed,
  };
}

/** The same for people: counts, then the tests that matter. */
export function formatComparison(comparison: RunComparison): string {
  const { title, newFailures, newBrokenPackages, fixed, slower, added, removed } = comparison;
  const name = ({ id }: ComparedTest): string => `${id.package} ${id.name}`.trim();
  const list = (word: string, lines: readonly string[]): string[] => [
    ...lines.slice(0, SHOWN).map((line) => `  ${word}: ${line}`),
    ...(lines.length > SHOWN ? [`  and ${String(lines.length - SHOWN)} more ${word}`] : []),
  ];
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  return `${[
    `against ${title}: ${String(newFailures.length)} new failures, ${String(fixed.length)} fixed, ${String(slower.length)} slower, ${String(added.length)} added, ${String(removed.length)} removed`,
    ...list('new failure', newFailures.map(name)),
    ...list(
      'newly broken package',
      newBrokenPackages.map((broken) => broken.package),
    ),
    ...list('fixed', fixed.map(name)),
    ...list(
      'slower',
      slower.map((test) => `${name(test)} (${seconds(test.beforeMs)} → ${seconds(test.afterMs)})`),
    ),
  ].join('\n')}\n`;
}
