import { addReadEvent, checkConservation, createCellState, endCellAttempt, summarizeCell } from '../accumulate.js';
import type { ReadEvent } from '../events.js';
import type { CreateReader, ReaderOptions } from '../reader.js';

/** Events of a text given in these pieces. For tests of readers. */
export function eventsOf(create: CreateReader, pieces: readonly string[], options?: ReaderOptions): ReadEvent[] {
  const events: ReadEvent[] = [];
  const reader = create((event) => events.push(event), options);
  for (const piece of pieces) reader.write(piece);
  reader.end();
  return events;
}

/** The text cut at these places, which may lie anywhere and in any order. */
export function cutAt(text: string, cuts: readonly number[]): readonly string[] {
  const places = new Set([0, ...cuts.map((cut) => cut % (text.length + 1)), text.length]);
  const points = [...places].sort((a, b) => a - b);
  return points.slice(1).map((point, index) => text.slice(points[index], point));
}

/** What a text comes to; `sound` when nothing was left open and attempts add up. */
export function readAll(create: CreateReader, text: string, options?: ReaderOptions) {
  const state = createCellState();
  const events = eventsOf(create, [text], options);
  for (const event of events) addReadEvent(state, event);
  const wasOpen = state.open.size > 0;
  endCellAttempt(state);
  const summary = summarizeCell(state);
  return {
    ...summary,
    events,
    sound: !wasOpen && checkConservation(state, summary.tests).holds,
    statuses: Object.fromEntries(
      summary.tests.map((test) => [
        `${test.id.package} ${test.id.name}`.trim(),
        test.attempts.map(({ status }) => status),
      ]),
    ),
  };
}
