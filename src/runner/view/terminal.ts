import type { RunEvent } from '../../results/events.js';
import { addToView, createView, liveLines, type ViewLine } from './run-view.js';

export interface TerminalOptions {
  readonly write: (text: string) => void;
  /** Redraw lines; else one plain line per thing that happened. */
  readonly isTerminal: boolean;
  readonly color: boolean;
  /** Asked for every frame, so that a resized window is drawn right. */
  readonly size: () => { readonly columns: number; readonly rows: number };
  /** Milliseconds of the clock that the events have their times from. @default Date.now */
  readonly now?: () => number;
}

/** Shows a run while it happens. */
export interface RunTerminal {
  onEvent(event: RunEvent): void;
  /** Takes the live lines away. Nothing is drawn afterwards. Idempotent. */
  close(): void;
}

const FRAME_MS = 100;
const TONES: Record<ViewLine['tone'], readonly [string, string]> = {
  plain: ['', ''],
  good: ['\x1b[32m', '\x1b[39m'],
  bad: ['\x1b[31m', '\x1b[39m'],
  faint: ['\x1b[2m', '\x1b[22m'],
};

export function createRunTerminal(options: TerminalOptions): RunTerminal {
  const { write, now = Date.now } = options;
  const view = createView();
  const paint = ({ tone, text }: ViewLine): string => {
    const [on, off] = options.color ? TONES[tone] : ['', ''];
    return `${on}${text}${off}\n`;
  };
  if (!options.isTerminal) {
    return {
      onEvent: (event) => {
        for (const line of addToView(view, event)) write(paint(line));
      },
      close: () => undefined,
    };
  }

  let drawn: readonly string[] = [];
  let pending = '';
  let closed = false;
  const erase = (): string => {
    if (drawn.length === 0) return '';
    // After the window became narrower the terminal has wrapped lines: count the rows they take now.
    const { columns } = options.size();
    const rows = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(Array.from(line).length / columns)), 0);
    return `\x1b[${rows}A\r\x1b[J`;
  };
  const frame = (): void => {
    const { columns, rows } = options.size();
    const lines = closed ? [] : liveLines(view, now(), columns, rows);
    const unchanged = pending === '' && lines.length === drawn.length && lines.every((line, at) => line === drawn[at]);
    if (unchanged) return;
    // One write between the marks of a synchronised update: terminals that know them show no state in between.
    write(`\x1b[?2026h${erase()}${pending}${lines.map((line) => `${line}\n`).join('')}\x1b[?2026l`);
    drawn = lines;
    pending = '';
  };
  const timer = setInterval(frame, FRAME_MS);
  timer.unref();
  return {
    onEvent: (event) => {
      for (const line of addToView(view, event)) pending += paint(line);
    },
    close: () => {
      if (closed) return;
      closed = true;
      clearInterval(timer);
      frame();
    },
  };
}
