import type { Emit } from '../results/reader.js';
import { testKey, type TestId } from '../results/model.js';
import type { ReadEvent } from '../results/events.js';

/**
 * Drops what a tool says of tests that were not asked for in a rerun: vitest, jest and others list every test of a file
 * and mark those that the pattern left out as skipped. A test outside the selection that did run is kept: it is a result.
 */
export function createSelectionFilter(selection: readonly TestId[], emit: Emit): { emit: Emit; end: () => void } {
  const selected = new Set(selection.map(testKey));
  const held = new Map<string, Extract<ReadEvent, { type: 'test-started' }>>();
  return {
    emit: (event) => {
      if (event.type !== 'test-started' && event.type !== 'test-ended') {
        emit(event);
        return;
      }
      const key = testKey(event.test);
      if (selected.has(key)) {
        emit(event);
      } else if (event.type === 'test-started') {
        const before = held.get(key);
        if (before) emit(before);
        held.set(key, event);
      } else {
        const started = held.get(key);
        held.delete(key);
        if (event.status === 'skipped') return;
        if (started) emit(started);
        emit(event);
      }
    },
    end: () => {
      for (const started of held.values()) emit(started);
      held.clear();
    },
  };
}
