/** Which rows of a log are shown, and what stands in place of those that are not. */

import { lastAtMost, type LogIndex, type LogOwner } from './log-data.js';

export interface ViewOptions {
  /** Only rows of these owners; all when absent. */
  readonly owners?: ReadonlySet<number>;
  /** Indexes of sections (`index.folds`) that are closed: only their title shows. */
  readonly closedFolds: ReadonlySet<number>;
  /** Owners whose rows, with those of their subtests, are closed but for the first. */
  readonly closedOwners: ReadonlySet<number>;
  /** Only rows near errors, and near the start; the rest becomes gaps. */
  readonly focus?: { readonly context: number; readonly head: number };
  /** Rows that show in spite of `focus`: pairs of first and last. */
  readonly revealed: readonly (readonly [number, number])[];
}

/** Rows that are left out between two that show. */
export interface Gap {
  readonly from: number;
  readonly to: number;
  readonly rows: number;
}

export interface View {
  readonly length: number;
  readonly gaps: readonly Gap[];
  /** Row at a position, or -1 where a gap stands. */
  rowAt(position: number): number;
  gapAt(position: number): Gap | undefined;
  /** Position of a row, or of what stands nearest before it. */
  positionOf(row: number): number;
  has(row: number): boolean;
}

const GAP_FLAG = 0x8000_0000;
const HIDDEN = 0;
const SHOWN = 1;
const LEFT_OUT = 2;
/** A gap this small takes no less room than the rows themselves. */
const SMALLEST_GAP = 3;

/** Parents of owners by name: -1 for none. Go separates subtests by `/`, JavaScript tools by ` > `. */
export function ownerParents(owners: readonly LogOwner[]): Int32Array {
  const byName = new Map<string, number>();
  owners.forEach((owner, index) => byName.set(`${String(owner.occurrence)}\0${owner.package}\0${owner.name}`, index));
  return Int32Array.from(owners, (owner) => {
    for (const separator of ['/', ' > ']) {
      let end = owner.name.lastIndexOf(separator);
      for (let steps = 0; end > 0 && steps < 64; steps += 1) {
        const name = owner.name.slice(0, end);
        for (let occurrence = owner.occurrence; occurrence >= 1; occurrence = occurrence > 1 ? 1 : 0) {
          const parent = byName.get(`${String(occurrence)}\0${owner.package}\0${name}`);
          if (parent !== undefined) return parent;
        }
        end = owner.name.lastIndexOf(separator, end - 1);
      }
    }
    return -1;
  });
}

/** An owner and all below it. */
export function ownerFamily(parents: Int32Array, owner: number): Set<number> {
  const family = new Set([owner]);
  for (let index = 0; index < parents.length; index += 1) {
    const path: number[] = [];
    let at = index;
    while (at !== -1 && !family.has(at) && path.length < 100) {
      path.push(at);
      at = parents[at] ?? -1;
    }
    if (family.has(at)) for (const member of path) family.add(member);
  }
  return family;
}

export function buildView(index: LogIndex, parents: Int32Array, options: ViewOptions): View {
  const { closedFolds, closedOwners } = options;
  const plain =
    options.owners === undefined && closedFolds.size === 0 && closedOwners.size === 0 && options.focus === undefined;
  if (plain) return wholeLog(index.rows);
  const state = new Uint8Array(index.rows).fill(HIDDEN);
  const closedBy = closingOwners(index.owners, parents, closedOwners);
  eachSpan(index, (start, end, owner) => {
    if (options.owners !== undefined && !options.owners.has(owner)) return;
    const closer = closedBy[owner] ?? -1;
    if (closer === -1) state.fill(SHOWN, start, end);
    else {
      const title = index.owners[closer]?.firstRow ?? -1;
      if (title >= start && title < end) state[title] = SHOWN;
    }
  });
  hideFolds(index, closedFolds, state);
  if (options.focus !== undefined) applyFocus(index, options.focus, options.revealed, state);
  return viewOf(state);
}

/** For each owner the outermost closed owner above it or itself; -1 when it is open. */
function closingOwners(owners: readonly LogOwner[], parents: Int32Array, closed: ReadonlySet<number>): Int32Array {
  return Int32Array.from(owners, (_, owner) => {
    let closer = -1;
    let at = owner;
    for (let steps = 0; at !== -1 && steps < 100; steps += 1) {
      if (closed.has(at)) closer = at;
      at = parents[at] ?? -1;
    }
    return closer;
  });
}

function eachSpan(index: LogIndex, found: (start: number, end: number, owner: number) => void): void {
  for (let span = 0; span < index.spanStarts.length; span += 1) {
    found(index.spanStarts[span] ?? 0, index.spanStarts[span + 1] ?? index.rows, index.spanOwners[span] ?? 0);
  }
}

function hideFolds(index: LogIndex, closed: ReadonlySet<number>, state: Uint8Array): void {
  if (closed.size === 0) return;
  const spansOf = spansByOwner(index);
  for (const number of closed) {
    const fold = index.folds[number];
    if (fold === undefined) continue;
    const spans = spansOf.get(fold.owner) ?? [];
    const starts = spans.map((span) => index.spanStarts[span] ?? 0);
    for (let at = Math.max(0, lastAtMost(starts, fold.startRow)); at < spans.length; at += 1) {
      const span = spans[at] ?? 0;
      const start = index.spanStarts[span] ?? 0;
      if (start > fold.endRow) break;
      const end = index.spanStarts[span + 1] ?? index.rows;
      state.fill(
        HIDDEN,
        Math.max(start, fold.startRow + 1),
        Math.max(fold.startRow + 1, Math.min(end, fold.endRow + 1)),
      );
    }
  }
}

function spansByOwner(index: LogIndex): Map<number, number[]> {
  const byOwner = new Map<number, number[]>();
  for (let span = 0; span < index.spanOwners.length; span += 1) {
    const owner = index.spanOwners[span] ?? 0;
    const spans = byOwner.get(owner);
    if (spans === undefined) byOwner.set(owner, [span]);
    else spans.push(span);
  }
  return byOwner;
}

function applyFocus(
  index: LogIndex,
  focus: NonNullable<ViewOptions['focus']>,
  revealed: ViewOptions['revealed'],
  state: Uint8Array,
): void {
  const keep = new Uint8Array(state.length);
  // Context counts shown rows: the lines around an error are those of its own test.
  const around = (row: number): void => {
    keep[row] = 1;
    for (const direction of [-1, 1]) {
      let left = focus.context;
      for (let at = row + direction; left > 0 && at >= 0 && at < state.length; at += direction) {
        if (state[at] !== SHOWN) {
          if (Math.abs(at - row) > 2_000) break;
          continue;
        }
        keep[at] = 1;
        left -= 1;
      }
    }
  };
  for (const row of index.errorRows) if (state[row] === SHOWN) around(row);
  let head = focus.head;
  for (let row = 0; row < state.length && head > 0; row += 1) {
    if (state[row] !== SHOWN) continue;
    keep[row] = 1;
    head -= 1;
  }
  for (const fold of index.folds) keep[fold.startRow] = 1;
  for (const [from, to] of revealed) keep.fill(1, from, to + 1);
  for (let row = 0; row < state.length; row += 1) {
    if (state[row] === SHOWN && keep[row] === 0) state[row] = LEFT_OUT;
  }
}

function wholeLog(rows: number): View {
  return {
    length: rows,
    gaps: [],
    rowAt: (position) => position,
    gapAt: () => undefined,
    positionOf: (row) => Math.max(0, Math.min(row, rows - 1)),
    has: (row) => row >= 0 && row < rows,
  };
}

function viewOf(state: Uint8Array): View {
  const items: number[] = [];
  const gaps: Gap[] = [];
  let gap = { from: 0, to: 0, rows: 0 };
  const endGap = (): void => {
    if (gap.rows >= SMALLEST_GAP) {
      items.push(GAP_FLAG + gaps.length);
      gaps.push(gap);
    } else if (gap.rows > 0) {
      for (let row = gap.from; row <= gap.to; row += 1) if (state[row] === LEFT_OUT) items.push(row);
    }
    gap = { from: 0, to: 0, rows: 0 };
  };
  for (let row = 0; row < state.length; row += 1) {
    if (state[row] === LEFT_OUT) gap = { from: gap.rows === 0 ? row : gap.from, to: row, rows: gap.rows + 1 };
    else if (state[row] === SHOWN) {
      endGap();
      items.push(row);
    }
  }
  endGap();
  const packed = Uint32Array.from(items);
  const startOf = (item: number): number => (item >= GAP_FLAG ? (gaps[item - GAP_FLAG]?.from ?? 0) : item);
  const positionOf = (row: number): number => {
    let low = 0;
    let high = packed.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (startOf(packed[middle] ?? 0) <= row) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  };
  const rowAt = (position: number): number => {
    const item = packed[position];
    return item === undefined || item >= GAP_FLAG ? -1 : item;
  };
  return {
    length: packed.length,
    gaps,
    rowAt,
    gapAt: (position) => {
      const item = packed[position];
      return item !== undefined && item >= GAP_FLAG ? gaps[item - GAP_FLAG] : undefined;
    },
    positionOf,
    has: (row) => rowAt(positionOf(row)) === row,
  };
}
