/** One line of a log as an element. */

import { parseAnsi, paletteColour, type Colour, type Style } from '../shared/ansi.js';
import { formatClock, formatCount, formatOffset } from '../shared/format.js';
import { severityOf, timeOf } from '../shared/line.js';
import { collapseRedraws, visibleParts } from '../shared/visible.js';
import type { Query } from '../shared/search.js';
import { element } from './dom.js';

export type TimeMode = 'shown' | 'hidden' | 'relative';

export interface RowOptions {
  readonly text: string;
  readonly year: number;
  /** Time that the format gives, NaN when none. */
  readonly formatTime: number;
  readonly timeMode: TimeMode;
  readonly startAt: number | undefined;
  readonly query: Query | undefined;
  readonly continues: boolean;
}

/** Characters of a line that are in the row; the rest opens on request. */
const ROW_CHARACTERS = 2_000;

export interface RowParts {
  readonly nodes: Node[];
  readonly severity: string;
  readonly at: number | undefined;
  readonly cut: boolean;
}

export function rowParts(options: RowOptions): RowParts {
  const { text: state, redrawn } = collapseRedraws(options.text);
  const time = timeOf(state, options.year);
  const at = time?.at ?? (Number.isNaN(options.formatTime) ? undefined : options.formatTime);
  const nodes: Node[] = [];
  let text = state;
  if (options.timeMode !== 'shown' && time !== undefined && text.length < 100_000) {
    text = text.slice(0, time.start) + text.slice(time.end).replace(/^ /, '');
  }
  if (options.timeMode === 'relative') {
    const offset = at === undefined || options.startAt === undefined ? '' : formatOffset(at - options.startAt);
    nodes.push(element('span', { class: 'time' }, offset));
  } else if (options.timeMode === 'shown' && time === undefined && at !== undefined) {
    nodes.push(element('span', { class: 'time' }, formatClock(at)));
  }
  const cut = text.length > ROW_CHARACTERS;
  const content = element('span', { class: 'text' });
  appendText(content, text.slice(0, ROW_CHARACTERS), options.query);
  if (redrawn > 0) {
    content.prepend(
      element(
        'span',
        { class: 'chip', title: 'The line was redrawn; its last state is shown' },
        `↻ ${formatCount(redrawn)}`,
      ),
    );
  }
  nodes.push(content);
  return { nodes, severity: options.continues ? 'none' : severityOf(state), at, cut };
}

/** Pieces of a line with colours, visible escapes and marks where the query matches. */
export function appendText(target: HTMLElement, line: string, query: Query | undefined): void {
  const pieces = parseAnsi(line);
  const plain = pieces.map(({ text }) => text).join('');
  const ranges = query?.rangesIn(plain) ?? [];
  let offset = 0;
  for (const { text, style } of pieces) {
    const holder = isPlain(style) ? target : styled(style);
    let at = 0;
    for (const [from, to] of ranges) {
      const start = Math.max(0, from - offset);
      const end = Math.min(text.length, to - offset);
      if (end <= at || start >= text.length) continue;
      appendVisible(holder, text.slice(at, start));
      const mark = element('mark');
      appendVisible(mark, text.slice(Math.max(at, start), end));
      holder.append(mark);
      at = end;
    }
    appendVisible(holder, text.slice(at));
    if (holder !== target) target.append(holder);
    offset += text.length;
  }
}

function appendVisible(target: HTMLElement, text: string): void {
  for (const part of visibleParts(text)) {
    target.append(part.escaped ? element('span', { class: 'esc' }, part.text) : part.text);
  }
}

function isPlain(style: Style): boolean {
  for (const _ in style) return false;
  return true;
}

function styled(style: Style): HTMLElement {
  const classes: string[] = [];
  if (style.bold === true) classes.push('a-bold');
  if (style.dim === true) classes.push('a-dim');
  if (style.italic === true) classes.push('a-italic');
  if (style.underline === true) classes.push('a-underline');
  if (style.strike === true) classes.push('a-strike');
  if (style.inverse === true) classes.push('a-inverse');
  const node = element('span');
  paint(node, classes, 'f', style.foreground);
  paint(node, classes, 'b', style.background);
  node.className = classes.join(' ');
  return node;
}

/** The first 16 colours belong to the theme and are classes; all others are exact. */
function paint(node: HTMLElement, classes: string[], side: 'f' | 'b', colour: Colour | undefined): void {
  if (colour === undefined) return;
  if (typeof colour === 'number' && colour < 16) {
    classes.push(`a-${side}${String(colour)}`);
    return;
  }
  const exact = typeof colour === 'number' ? paletteColour(colour) : colour;
  if (side === 'f') node.style.color = exact;
  else node.style.backgroundColor = exact;
}
