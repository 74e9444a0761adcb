/**
 * A long list of rows of one height, of which only those in sight are in the document. Browsers stop at heights of some
 * ten million pixels, so a longer list keeps its own position and the scroll bar shows a scaled one.
 */
import { element } from './dom.js';

const TALLEST_PX = 8_000_000;
const OVERSCAN = 12;

export interface VirtualListOptions {
  readonly rowHeight: number;
  readonly label: string;
  readonly role?: string;
  /** Makes the element of a row; `undefined` leaves the row empty until `refresh`. */
  readonly render: (position: number) => HTMLElement | undefined;
  /** The rows in sight changed. */
  readonly moved?: (first: number, last: number) => void;
}

export class VirtualList {
  readonly node: HTMLElement;
  readonly #options: VirtualListOptions;
  readonly #spacer = element('div', { class: 'vl-spacer' });
  readonly #rows = element('div', { class: 'vl-rows' });
  readonly #shown = new Map<number, HTMLElement>();
  #count = 0;
  #top = 0;
  #expectedScroll = -1;
  #scheduled = 0;

  constructor(options: VirtualListOptions) {
    this.#options = options;
    this.node = element(
      'div',
      { class: 'vl', tabindex: 0, role: options.role ?? 'group', aria: { label: options.label } },
      this.#spacer,
      this.#rows,
    );
    this.node.addEventListener('scroll', () => {
      this.#scrolled();
    });
    this.node.addEventListener(
      'wheel',
      (event) => {
        if (!this.#isScaled() || event.deltaY === 0 || event.ctrlKey) return;
        event.preventDefault();
        const unit = event.deltaMode === 1 ? options.rowHeight : event.deltaMode === 2 ? this.node.clientHeight : 1;
        this.#setTop(this.#top + event.deltaY * unit);
      },
      { passive: false },
    );
    new ResizeObserver(() => {
      this.#schedule();
    }).observe(this.node);
  }

  get count(): number {
    return this.#count;
  }

  get firstVisible(): number {
    return Math.floor(this.#top / this.#options.rowHeight);
  }

  get pageRows(): number {
    return Math.max(1, Math.floor(this.node.clientHeight / this.#options.rowHeight));
  }

  /** New content: `count` rows, all made again. */
  setCount(count: number): void {
    this.#count = count;
    this.#spacer.style.height = `${String(Math.min(this.#fullHeight(), TALLEST_PX))}px`;
    this.refresh();
  }

  /** Makes the rows in sight again. */
  refresh(): void {
    for (const row of this.#shown.values()) row.remove();
    this.#shown.clear();
    this.#setTop(Math.min(this.#top, this.#largestTop()));
  }

  /** Brings a row into sight, a third from the top unless it is in sight already. */
  show(position: number, place: 'third' | 'nearest' = 'third'): void {
    const { rowHeight } = this.#options;
    const height = this.node.clientHeight;
    const top = position * rowHeight;
    if (place === 'nearest') {
      if (top < this.#top) this.#setTop(top);
      else if (top + rowHeight * 2 > this.#top + height) this.#setTop(top + rowHeight * 2 - height);
      return;
    }
    this.#setTop(top - Math.floor(height / 3 / rowHeight) * rowHeight);
  }

  rowElement(position: number): HTMLElement | undefined {
    return this.#shown.get(position);
  }

  #fullHeight(): number {
    return this.#count * this.#options.rowHeight;
  }

  #isScaled(): boolean {
    return this.#fullHeight() > TALLEST_PX;
  }

  #largestTop(): number {
    return Math.max(0, this.#fullHeight() - this.node.clientHeight);
  }

  #setTop(top: number): void {
    this.#top = Math.max(0, Math.min(top, this.#largestTop()));
    const scrollRange = Math.max(1, Math.min(this.#fullHeight(), TALLEST_PX) - this.node.clientHeight);
    const scroll = this.#isScaled() ? (this.#top / Math.max(1, this.#largestTop())) * scrollRange : this.#top;
    this.node.scrollTop = scroll;
    this.#expectedScroll = this.node.scrollTop;
    this.#render();
  }

  #scrolled(): void {
    if (Math.abs(this.node.scrollTop - this.#expectedScroll) < 1) return;
    this.#expectedScroll = this.node.scrollTop;
    const scrollRange = Math.max(1, Math.min(this.#fullHeight(), TALLEST_PX) - this.node.clientHeight);
    this.#top = this.#isScaled() ? (this.node.scrollTop / scrollRange) * this.#largestTop() : this.node.scrollTop;
    this.#render();
  }

  #schedule(): void {
    if (this.#scheduled !== 0) return;
    this.#scheduled = requestAnimationFrame(() => {
      this.#scheduled = 0;
      this.#render();
    });
  }

  #render(): void {
    const { rowHeight, render, moved } = this.#options;
    const first = Math.max(0, Math.floor(this.#top / rowHeight) - OVERSCAN);
    const last = Math.min(this.#count - 1, Math.ceil((this.#top + this.node.clientHeight) / rowHeight) + OVERSCAN);
    for (const [position, row] of this.#shown) {
      if (position < first || position > last) {
        row.remove();
        this.#shown.delete(position);
      }
    }
    const offset = this.#expectedScroll - this.#top;
    for (let position = first; position <= last; position += 1) {
      let row = this.#shown.get(position);
      if (row === undefined) {
        row = render(position);
        if (row === undefined) continue;
        this.#shown.set(position, row);
        this.#rows.append(row);
      }
      row.style.transform = `translateY(${String(position * rowHeight + offset)}px)`;
    }
    moved?.(first, last);
  }
}
