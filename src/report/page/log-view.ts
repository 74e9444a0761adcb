/** The viewer of one log: virtual rows, folding, search, times, places to jump to. */

import { formatBytes, formatCount, formatDuration, plural } from '../shared/format.js';
import { timeOf } from '../shared/line.js';
import { lastAtMost, lineOfRow, ownerOfRow, rowOfLine, type LogIndex } from '../shared/log-data.js';
import { parseQuery, QueryError, type Query } from '../shared/search.js';
import { buildView, ownerFamily, type View } from '../shared/view.js';
import type { LineRange } from '../shared/route.js';
import { announce, append, button, element, visible } from './dom.js';
import { appendText, rowParts, type TimeMode } from './log-row.js';
import { chunkNumberOf, type LogSource } from './log-source.js';
import { VirtualList } from './virtual-list.js';

export const LOG_ROW_HEIGHT = 20;
const GAP_MS = 5_000;
const FOCUS_CONTEXT = 5;
const FOCUS_HEAD = 3;
/** A log or test this short is shown whole: there is nothing to leave out. */
const SHORT_ROWS = 120;

export type Scope = 'errors' | 'test' | 'log';

/** Whose lines come first: a test with the attempt in this log. */
export interface Subject {
  readonly package: string;
  readonly name: string;
  readonly occurrence: number;
}

export interface LogViewOptions {
  readonly source: LogSource;
  readonly subject?: Subject;
  readonly lines?: LineRange;
  readonly atTime?: number;
  readonly query?: string;
  /** Address of a range, for permalinks. */
  readonly addressOf: (lines: LineRange) => string;
  /** The reader chose lines. */
  readonly selected?: (lines: LineRange) => void;
  /** Asks for what clusters said at a time; absent when there are no such logs. */
  readonly showClusterAt?: (at: number) => void;
  /** Asks for the tests that ran at a time; for logs of clusters. */
  readonly showTestsAt?: (at: number) => void;
  /** Status of a test by its owner, for titles of closed subtests. */
  readonly statusOf?: (owner: {
    readonly package: string;
    readonly name: string;
    readonly occurrence: number;
  }) => string | undefined;
}

export class LogView {
  readonly node = element('section', { class: 'log', aria: { label: 'Log' } });
  readonly #options: LogViewOptions;
  readonly #list: VirtualList;
  readonly #status = element('span', { class: 'log-status', role: 'status' });
  readonly #searchInput: HTMLInputElement;
  readonly #searchCount = element('output', { class: 'search-count' });
  readonly #scopes = element('span', { class: 'segments', role: 'group', aria: { label: 'Lines shown' } });
  readonly #detail = element('div', { class: 'line-detail', hidden: true });

  #index: LogIndex | undefined;
  #parents: Int32Array = new Int32Array();
  #view: View | undefined;
  #scope: Scope = 'log';
  #family: Set<number> | undefined;
  #subject = -1;
  #closedFolds = new Set<number>();
  #closedOwners = new Set<number>();
  #revealed: [number, number][] = [];
  #folds = new Map<number, number>();
  #ownerTitles = new Map<number, number>();
  #timeMode: TimeMode = 'shown';
  #query: Query | undefined;
  #matches: number[] = [];
  #matchSet = new Set<number>();
  #searchAbort: AbortController | undefined;
  #searching = false;
  #cursor = -1;
  readonly #fetching = new Set<number>();
  #selection: LineRange | undefined;

  constructor(options: LogViewOptions) {
    this.#options = options;
    this.#searchInput = element('input', {
      type: 'search',
      class: 'search',
      placeholder: 'Search this log, /regex/',
      aria: { label: 'Search this log' },
      on: {
        keydown: (event) => {
          if (event.key === 'Enter') {
            event.preventDefault();
            this.nextMatch(event.shiftKey ? -1 : 1);
          } else if (event.key === 'Escape') this.#list.node.focus();
        },
        input: () => {
          this.#searchSoon();
        },
      },
    });
    this.#list = new VirtualList({
      rowHeight: LOG_ROW_HEIGHT,
      label: 'Lines of the log',
      role: 'document',
      render: (position) => this.#renderRow(position),
    });
    this.node.append(this.#toolbar(), this.#list.node, this.#detail);
  }

  /** Loads the index and shows the place asked for. */
  async open(): Promise<void> {
    const { source, subject, lines, atTime, query } = this.#options;
    this.#status.textContent = 'Reading…';
    try {
      this.#index = await source.index();
      this.#parents = await source.parents();
    } catch (error) {
      this.#status.textContent = error instanceof Error ? error.message : String(error);
      return;
    }
    this.#prepare(this.#index, subject);
    if (query !== undefined) {
      this.#searchInput.value = query;
      void this.#search();
    }
    if (lines !== undefined) this.goToLines(lines);
    else if (atTime !== undefined) this.goToRow(await source.rowAtTime(atTime));
    else this.#goToStart(this.#index);
  }

  focus(): void {
    this.#list.node.focus({ preventScroll: true });
  }

  focusSearch(): void {
    this.#searchInput.focus();
    this.#searchInput.select();
  }

  /** Moves the cursor by lines. */
  moveCursor(by: number): void {
    const view = this.#view;
    if (view === undefined || view.length === 0) return;
    const from = this.#cursor === -1 ? this.#list.firstVisible : view.positionOf(this.#cursor);
    let position = Math.max(0, Math.min(view.length - 1, from + by));
    while (view.rowAt(position) === -1 && position > 0 && position < view.length - 1) position += Math.sign(by);
    const row = view.rowAt(position);
    if (row === -1) return;
    this.#setCursor(row);
    this.#list.show(position, 'nearest');
  }

  page(by: number): void {
    this.moveCursor(by * this.#list.pageRows);
  }

  toEdge(end: boolean): void {
    const length = this.#view?.length ?? 0;
    this.moveCursor(end ? length : -length);
  }

  /** To the next (1) or previous (-1) line with an error among those of the scope. */
  nextError(direction: 1 | -1): void {
    const index = this.#index;
    if (index === undefined) return;
    const from = this.#cursor === -1 ? this.#topRow() - (direction === 1 ? 1 : 0) : this.#cursor;
    let at = direction === 1 ? lastAtMost(index.errorRows, from) + 1 : lastAtMost(index.errorRows, from - 1);
    while (at >= 0 && at < index.errorRows.length) {
      const row = index.errorRows[at] ?? 0;
      if (this.#inScope(row)) {
        this.goToRow(row);
        return;
      }
      at += direction;
    }
    announce(direction === 1 ? 'No further error' : 'No earlier error');
  }

  nextMatch(direction: 1 | -1): void {
    if (this.#matches.length === 0) {
      void this.#search();
      return;
    }
    const from = this.#cursor === -1 ? this.#topRow() - 1 : this.#cursor;
    let at = direction === 1 ? lastAtMost(this.#matches, from) + 1 : lastAtMost(this.#matches, from - 1);
    if (at >= this.#matches.length) at = 0;
    if (at < 0) at = this.#matches.length - 1;
    this.goToRow(this.#matches[at] ?? 0);
    this.#showMatchCount(at);
  }

  goToLines(lines: LineRange): void {
    const index = this.#index;
    if (index === undefined) return;
    this.#selection = lines;
    const row = Math.min(rowOfLine(index, lines.from), Math.max(0, index.rows - 1));
    const last = Math.min(rowOfLine(index, lines.to), Math.max(0, index.rows - 1));
    this.#reveal(row, last);
    this.#show(row);
    // Rows drawn before know nothing of the lines chosen.
    this.#list.refresh();
  }

  goToRow(row: number): void {
    this.#reveal(row, row);
    this.#show(row);
  }

  #show(row: number): void {
    this.#setCursor(row);
    const view = this.#view;
    if (view !== undefined) this.#list.show(view.positionOf(row));
  }

  #setCursor(row: number): void {
    this.#cursor = row;
    for (const node of this.#list.node.querySelectorAll('.cursor')) node.classList.remove('cursor');
    const view = this.#view;
    if (view !== undefined) this.#list.rowElement(view.positionOf(row))?.classList.add('cursor');
  }

  #topRow(): number {
    const view = this.#view;
    if (view === undefined) return 0;
    for (let position = this.#list.firstVisible; position < view.length; position += 1) {
      const row = view.rowAt(position);
      if (row !== -1) return row;
    }
    return 0;
  }

  #inScope(row: number): boolean {
    const index = this.#index;
    return (
      index === undefined ||
      this.#scope === 'log' ||
      this.#family === undefined ||
      this.#family.has(ownerOfRow(index, row))
    );
  }

  #prepare(index: LogIndex, subject: Subject | undefined): void {
    this.#folds = new Map(index.folds.map((fold, number) => [fold.startRow, number]));
    const findOwner = (occurrence: number): number =>
      index.owners.findIndex(
        (owner) => owner.package === subject?.package && owner.name === subject.name && owner.occurrence === occurrence,
      );
    this.#subject = subject === undefined ? -1 : findOwner(subject.occurrence);
    if (subject !== undefined && this.#subject === -1) this.#subject = findOwner(1);
    this.#family = this.#subject === -1 ? undefined : ownerFamily(this.#parents, this.#subject);
    index.folds.forEach((fold, number) => {
      const opens = fold.kind === 'group' && fold.errors > 0;
      if (!opens && fold.endRow - fold.startRow >= 3) this.#closedFolds.add(number);
    });
    index.owners.forEach((owner, number) => {
      if (owner.name === '' || owner.rows === 0 || number === this.#subject) return;
      const isSubtest = (this.#parents[number] ?? -1) !== -1;
      if (owner.lastRow > owner.firstRow) this.#ownerTitles.set(owner.firstRow, number);
      if (isSubtest && this.#options.statusOf?.(owner) === 'passed' && owner.rows > 3) this.#closedOwners.add(number);
    });
    const rows = this.#subject === -1 ? index.rows : (index.owners[this.#subject]?.rows ?? 0);
    this.#scope = this.#subject === -1 ? 'log' : rows > SHORT_ROWS && this.#scopeErrors() > 0 ? 'errors' : 'test';
    if (this.#subject !== -1 && this.#family !== undefined && this.#familyRows(index) === 0) {
      this.#scope = 'log';
      this.#family = undefined;
    }
    this.#rebuild();
  }

  #familyRows(index: LogIndex): number {
    let rows = 0;
    for (const owner of this.#family ?? []) rows += index.owners[owner]?.rows ?? 0;
    return rows;
  }

  #scopeErrors(): number {
    const index = this.#index;
    if (index === undefined) return 0;
    if (this.#family === undefined) return index.errorRows.length;
    for (const owner of this.#family) if ((index.owners[owner]?.firstErrorRow ?? -1) !== -1) return 1;
    return 0;
  }

  #goToStart(index: LogIndex): void {
    const owner = index.owners[this.#subject];
    const first = owner?.firstErrorRow ?? -1;
    if (first !== -1 && this.#scope !== 'log') {
      this.goToRow(first);
      return;
    }
    if (owner !== undefined && owner.firstRow !== -1) this.goToRow(owner.firstRow);
    else this.#list.show(0);
  }

  #setScope(scope: Scope): void {
    const keep = this.#cursor === -1 ? this.#topRow() : this.#cursor;
    this.#scope = scope;
    this.#revealed = [];
    this.#rebuild();
    const view = this.#view;
    if (view !== undefined) this.#list.show(view.positionOf(keep));
  }

  /** Opens whatever hides the rows. */
  #reveal(row: number, last: number): void {
    const index = this.#index;
    if (index === undefined) return;
    if (this.#view?.has(row) === true && this.#view.has(last)) return;
    if (!this.#inScope(row)) this.#scope = 'log';
    for (const number of [...this.#closedFolds]) {
      const fold = index.folds[number];
      if (
        fold !== undefined &&
        fold.startRow < last + 1 &&
        fold.endRow >= row &&
        fold.owner === ownerOfRow(index, row)
      ) {
        if (row !== fold.startRow) this.#closedFolds.delete(number);
      }
    }
    let owner = ownerOfRow(index, row);
    for (let steps = 0; owner !== -1 && steps < 100; steps += 1) {
      this.#closedOwners.delete(owner);
      owner = this.#parents[owner] ?? -1;
    }
    this.#revealed.push([Math.max(0, row - FOCUS_CONTEXT), Math.min(index.rows - 1, last + FOCUS_CONTEXT)]);
    this.#rebuild();
  }

  #rebuild(): void {
    const index = this.#index;
    if (index === undefined) return;
    this.#view = buildView(index, this.#parents, {
      ...(this.#scope === 'log' || this.#family === undefined ? {} : { owners: this.#family }),
      closedFolds: this.#closedFolds,
      closedOwners: this.#closedOwners,
      ...(this.#scope === 'errors' ? { focus: { context: FOCUS_CONTEXT, head: FOCUS_HEAD } } : {}),
      revealed: this.#revealed,
    });
    this.#list.setCount(this.#view.length);
    this.#renderScopes();
    const { log } = this.#options.source;
    this.#status.textContent = `${plural(log.lines, 'line')} · ${formatBytes(log.characters)} · ${plural(log.errors, 'error line')}`;
  }

  #renderRow(position: number): HTMLElement | undefined {
    const index = this.#index;
    const view = this.#view;
    if (index === undefined || view === undefined) return undefined;
    const gap = view.gapAt(position);
    if (gap !== undefined) return this.#gapRow(gap);
    const row = view.rowAt(position);
    if (row === -1) return undefined;
    const number = chunkNumberOf(index, row);
    const chunk = this.#options.source.chunkNow(number);
    if (chunk === undefined) {
      this.#fetch(number);
      return undefined;
    }
    return this.#lineRow(index, row, position);
  }

  /** Gets a chunk once and shows its rows when it is there. */
  #fetch(number: number): void {
    if (this.#fetching.has(number)) return;
    this.#fetching.add(number);
    this.#options.source
      .chunk(number)
      .then(
        () => {
          this.#list.refresh();
        },
        (error: unknown) => {
          this.#status.textContent = error instanceof Error ? error.message : String(error);
        },
      )
      .finally(() => {
        this.#fetching.delete(number);
      });
  }

  #textOf(index: LogIndex, row: number): { text: string; time: number } | undefined {
    const chunk = this.#options.source.chunkNow(chunkNumberOf(index, row));
    if (chunk === undefined) return undefined;
    const offset = row - chunk.firstRow;
    return { text: chunk.lines[offset] ?? '', time: chunk.times?.[offset] ?? Number.NaN };
  }

  #lineRow(index: LogIndex, row: number, position: number): HTMLElement {
    const line = lineOfRow(index, row);
    const continues = row > 0 && lineOfRow(index, row - 1) === line;
    const found = this.#textOf(index, row);
    const startAt = index.chunks[0]?.firstAt;
    const parts = rowParts({
      text: found?.text ?? '',
      year: index.year,
      formatTime: found?.time ?? Number.NaN,
      timeMode: this.#timeMode,
      startAt,
      query: this.#query,
      continues,
    });
    const node = element('div', { class: `row v-${parts.severity}`, data: { row, line } });
    if (this.#selection !== undefined && line >= this.#selection.from && line <= this.#selection.to) {
      node.classList.add('selected');
    }
    if (row === this.#cursor) node.classList.add('cursor');
    if (this.#matchSet.has(row)) node.classList.add('match');
    node.append(this.#number(line, continues), this.#toggle(index, row));
    append(node, parts.nodes);
    if (parts.cut) {
      node.append(button('whole line', () => void this.#showWhole(row), { class: 'more' }));
    }
    this.#markGap(index, node, parts.at, position);
    if (parts.at !== undefined) this.#linkMoment(node, parts.at);
    return node;
  }

  #linkMoment(node: HTMLElement, at: number): void {
    const { showClusterAt, showTestsAt } = this.#options;
    const add = (label: string, title: string, show: (at: number) => void): void => {
      node.append(
        button(
          label,
          () => {
            show(at);
          },
          { class: 'at-time', title },
        ),
      );
    };
    if (showClusterAt !== undefined) add('cluster', 'What the cluster said at this moment', showClusterAt);
    if (showTestsAt !== undefined) add('tests', 'Which tests ran at this moment', showTestsAt);
  }

  #number(line: number, continues: boolean): HTMLElement {
    const link = element('a', {
      class: 'num',
      href: this.#options.addressOf({ from: line, to: line }),
      tabindex: -1,
      on: {
        click: (event) => {
          event.preventDefault();
          const from = event.shiftKey && this.#selection !== undefined ? this.#selection.from : line;
          this.#select({ from: Math.min(from, line), to: Math.max(from, line) });
        },
      },
    });
    link.textContent = continues ? '↪' : String(line);
    return link;
  }

  #select(lines: LineRange): void {
    this.#selection = lines;
    this.#options.selected?.(lines);
    this.#list.refresh();
  }

  /** The triangle of a line that is the title of a section or of a subtest. */
  #toggle(index: LogIndex, row: number): HTMLElement {
    const number = this.#folds.get(row);
    const fold = number === undefined ? undefined : index.folds[number];
    if (number !== undefined && fold !== undefined) {
      const closed = this.#closedFolds.has(number);
      return this.#triangle(closed, fold.title, fold.endRow - fold.startRow, fold.errors, () => {
        if (closed) this.#closedFolds.delete(number);
        else this.#closedFolds.add(number);
        if (closed) this.#revealed.push([fold.startRow, Math.min(fold.endRow, fold.startRow + 2_000)]);
        this.#refold(row);
      });
    }
    const owner = this.#ownerTitles.get(row);
    const info = owner === undefined ? undefined : index.owners[owner];
    if (owner === undefined || info === undefined) return element('span', { class: 'fold' });
    const closed = this.#closedOwners.has(owner);
    const status = this.#options.statusOf?.(info);
    const rest = info.lastRow - info.firstRow;
    return this.#triangle(closed, `${info.name}${status === undefined ? '' : ` ${status}`}`, rest, 0, () => {
      if (closed) this.#closedOwners.delete(owner);
      else this.#closedOwners.add(owner);
      this.#refold(row);
    });
  }

  #triangle(closed: boolean, title: string, rows: number, errors: number, act: () => void): HTMLElement {
    const holder = element('span', { class: 'fold' });
    const label = `${title}: ${plural(rows, 'line')}${errors > 0 ? `, ${plural(errors, 'error')}` : ''}`;
    const control = button(closed ? '▸' : '▾', act, {
      class: 'toggle',
      title: label,
      aria: { expanded: !closed, label },
    });
    holder.append(control);
    if (closed) {
      const badge = element(
        'span',
        { class: 'folded', on: { click: act } },
        visible(title, 80),
        ` · ${plural(rows, 'line')}`,
      );
      if (errors > 0) badge.append(element('b', {}, ` · ${plural(errors, 'error')}`));
      holder.append(badge);
    }
    return holder;
  }

  #refold(row: number): void {
    this.#rebuild();
    const view = this.#view;
    if (view !== undefined) this.#list.show(view.positionOf(row), 'nearest');
  }

  #gapRow(gap: { from: number; to: number; rows: number }): HTMLElement {
    const reveal = (from: number, to: number) => () => {
      this.#revealed.push([from, to]);
      this.#rebuild();
    };
    const step = 50;
    const node = element('div', { class: 'row gap' });
    if (gap.rows > step * 2)
      node.append(button(`↓ ${String(step)}`, reveal(gap.from, gap.from + step - 1), { class: 'more' }));
    node.append(
      button(`show ${formatCount(gap.rows)} more lines`, reveal(gap.from, gap.to), { class: 'more gap-all' }),
    );
    if (gap.rows > step * 2)
      node.append(button(`↑ ${String(step)}`, reveal(gap.to - step + 1, gap.to), { class: 'more' }));
    return node;
  }

  /** Marks a line that came long after the one above it. */
  #markGap(index: LogIndex, node: HTMLElement, at: number | undefined, position: number): void {
    const before = this.#view?.rowAt(position - 1) ?? -1;
    if (at === undefined || before === -1) return;
    const found = this.#textOf(index, before);
    if (found === undefined) return;
    const earlier = timeOf(found.text, index.year)?.at ?? (Number.isNaN(found.time) ? undefined : found.time);
    if (earlier === undefined || at - earlier < GAP_MS) return;
    node.classList.add('late');
    node.append(
      element('span', { class: 'late-by', title: 'Time since the line above' }, `+${formatDuration(at - earlier)}`),
    );
  }

  async #showWhole(row: number): Promise<void> {
    const text = await this.#options.source.fullLine(row);
    const content = element('pre');
    // A line of megabytes would stop the page: its first million characters are shown, all of it can be saved.
    const limit = 1_000_000;
    appendText(content, text.slice(0, limit), undefined);
    if (text.length > limit)
      content.append(`\n… ${formatCount(text.length - limit)} more characters; save the log to read them`);
    this.#detail.replaceChildren(
      element(
        'div',
        { class: 'bar' },
        element('b', {}, `${formatCount(text.length)} characters`),
        button('Close', () => (this.#detail.hidden = true)),
      ),
      content,
    );
    this.#detail.hidden = false;
  }

  #searchTimer = 0;
  #searchSoon(): void {
    clearTimeout(this.#searchTimer);
    this.#searchTimer = window.setTimeout(() => void this.#search(), 250);
  }

  async #search(): Promise<void> {
    this.#searchAbort?.abort();
    const abort = new AbortController();
    this.#searchAbort = abort;
    this.#matches = [];
    this.#matchSet = new Set();
    try {
      this.#query = parseQuery(this.#searchInput.value);
    } catch (error) {
      this.#query = undefined;
      this.#searchCount.textContent = error instanceof QueryError ? error.message : String(error);
      return;
    }
    const query = this.#query;
    if (query === undefined) {
      this.#searchCount.textContent = '';
      this.#list.refresh();
      return;
    }
    this.#searching = true;
    this.#searchCount.textContent = 'searching…';
    const rows: number[] = [];
    await this.#options.source.search(
      query,
      (found) => {
        for (const row of found) rows.push(row);
        this.#searchCount.textContent = `${formatCount(rows.length)}…`;
      },
      abort.signal,
    );
    if (abort.signal.aborted) return;
    this.#searching = false;
    rows.sort((a, b) => a - b);
    const inScope = rows.filter((row) => this.#inScope(row));
    this.#matches = inScope.length > 0 ? inScope : rows;
    this.#matchSet = new Set(this.#matches);
    this.#showMatchCount(-1, rows.length);
    this.#list.refresh();
    if (this.#matches.length > 0) this.nextMatch(1);
  }

  #showMatchCount(at: number, all = this.#matches.length): void {
    const count = this.#matches.length;
    const place = at === -1 ? '' : `${formatCount(at + 1)} of `;
    const rest = all > count ? ` (${formatCount(all)} in the log)` : '';
    this.#searchCount.textContent = this.#searching
      ? 'searching…'
      : count === 0
        ? 'not found'
        : `${place}${formatCount(count)}${rest}`;
  }

  #renderScopes(): void {
    const entries: readonly (readonly [Scope, string])[] =
      this.#family === undefined
        ? [
            ['errors', 'Around errors'],
            ['log', 'Whole log'],
          ]
        : [
            ['errors', 'Around errors'],
            ['test', 'This test'],
            ['log', 'Whole log'],
          ];
    this.#scopes.replaceChildren(
      ...entries.map(([scope, label]) =>
        button(
          label,
          () => {
            this.#setScope(scope);
          },
          { aria: { pressed: this.#scope === scope }, data: { scope } },
        ),
      ),
    );
  }

  #toolbar(): HTMLElement {
    const times = element(
      'select',
      {
        aria: { label: 'Times' },
        on: {
          change: (event) => {
            this.#timeMode = (event.currentTarget as HTMLSelectElement).value as TimeMode;
            this.#list.refresh();
          },
        },
      },
      element('option', { value: 'shown' }, 'Times as printed'),
      element('option', { value: 'relative' }, 'Times from start'),
      element('option', { value: 'hidden' }, 'No times'),
    );
    const { source } = this.#options;
    return element(
      'div',
      { class: 'log-bar', role: 'toolbar', aria: { label: 'Log' } },
      this.#scopes,
      element(
        'span',
        { class: 'group' },
        button(
          '‹ error',
          () => {
            this.nextError(-1);
          },
          { title: 'Previous error (p)', class: 'prev-error' },
        ),
        button(
          'error ›',
          () => {
            this.nextError(1);
          },
          { title: 'Next error (n)', class: 'next-error' },
        ),
      ),
      element(
        'span',
        { class: 'group grow' },
        this.#searchInput,
        button(
          '‹',
          () => {
            this.nextMatch(-1);
          },
          { title: 'Previous match (Shift Enter)' },
        ),
        button(
          '›',
          () => {
            this.nextMatch(1);
          },
          { title: 'Next match (Enter)' },
        ),
        this.#searchCount,
      ),
      times,
      element(
        'span',
        { class: 'group' },
        button(
          'Fold',
          () => {
            this.#foldAll(true);
          },
          { title: 'Close all sections' },
        ),
        button(
          'Unfold',
          () => {
            this.#foldAll(false);
          },
          { title: 'Open all sections' },
        ),
      ),
      button('Save', () => void saveLog(source), { title: 'Save the whole log as it was' }),
      this.#status,
    );
  }

  #foldAll(closed: boolean): void {
    const index = this.#index;
    if (index === undefined) return;
    this.#closedFolds = new Set(closed ? index.folds.keys() : []);
    this.#closedOwners = new Set(
      closed ? [...this.#ownerTitles.values()].filter((owner) => (this.#parents[owner] ?? -1) !== -1) : [],
    );
    this.#setScope(this.#scope === 'errors' && !closed ? (this.#family === undefined ? 'log' : 'test') : this.#scope);
  }
}

async function saveLog(source: LogSource): Promise<void> {
  announce('Unpacking…');
  const url = URL.createObjectURL(await source.raw());
  const link = element('a', { href: url });
  link.download = `${source.log.title.replaceAll(/[^\w.-]+/g, '_')}.log`;
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(url);
  }, 60_000);
}
