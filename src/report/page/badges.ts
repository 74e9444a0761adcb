/** Small things that stand for a result: status, history, duration. */

import { formatDuration } from '../shared/format.js';
import type { PageHistory, PageTest } from '../shared/page-data.js';
import { element, svg } from './dom.js';
import { statusWord } from './context.js';

const MARKS: Readonly<Record<string, string>> = {
  passed: '✓',
  failed: '✗',
  skipped: '○',
  error: '!',
  timedout: '⧗',
  notrun: '?',
  flaky: '≈',
};

export function statusBadge(word: string): HTMLElement {
  return element(
    'span',
    { class: `badge s-${word}` },
    element('i', { aria: { hidden: true } }, MARKS[word] ?? '·'),
    ` ${word}`,
  );
}

export function statusMark(test: PageTest): HTMLElement {
  const word = statusWord(test);
  return element(
    'span',
    { class: `mark s-${word}`, role: 'img', title: word, aria: { label: word } },
    MARKS[word] ?? '·',
  );
}

/** Earlier results as bars, oldest at the left, with "k of n failed" as numbers; nothing when there was no earlier run. */
export function historyBadge(history: PageHistory, words: 'long' | 'short' = 'short'): HTMLElement | undefined {
  if (history.runs === 0 && history.recent === '') return undefined;
  const names: Readonly<Record<string, string>> = { p: 'passed', f: 'failed', k: 'flaky', s: 'skipped', e: 'error' };
  const bars = Array.from(history.recent).map((letter, index) =>
    svg('rect', {
      x: index * 5,
      y: letter === 'p' || letter === 's' ? 8 : 2,
      width: 4,
      height: letter === 'p' || letter === 's' ? 8 : 14,
      class: `bar-${names[letter] ?? 'notrun'}`,
    }),
  );
  const chart = svg(
    'svg',
    { width: Math.max(5, history.recent.length * 5), height: 16, class: 'spark', 'aria-hidden': 'true' },
    ...bars,
  );
  const rate =
    history.rate === undefined || history.low === undefined || history.high === undefined
      ? ''
      : ` (${percent(history.rate)}, 95 % between ${percent(history.low)} and ${percent(history.high)})`;
  const sentence = `failed ${String(history.failed)} of ${String(history.runs)} earlier runs${rate}`;
  const node = element(
    'span',
    { class: 'history', title: sentence },
    history.recent !== '' && chart,
    element(
      'span',
      {},
      words === 'long'
        ? ` failed ${String(history.failed)} of ${String(history.runs)} earlier runs`
        : ` ${String(history.failed)} of ${String(history.runs)}`,
    ),
  );
  node.setAttribute('aria-label', sentence);
  return node;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

export function duration(ms: number | undefined): string {
  return ms === undefined ? '' : formatDuration(ms);
}
