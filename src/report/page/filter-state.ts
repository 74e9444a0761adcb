import { NO_FILTER, type TestFilter } from '../shared/filter.js';
import type { Status } from '../../results/model.js';

export const STATUS_WORDS = [
  'failed',
  'error',
  'timedout',
  'notrun',
  'flaky',
  'passed',
  'skipped',
] as const satisfies readonly (Status | 'flaky')[];

/** The filter that chips, grid and search box change together. */
export class FilterState {
  #filter: TestFilter = NO_FILTER;
  readonly #listeners: (() => void)[] = [];

  get filter(): TestFilter {
    return this.#filter;
  }

  get isActive(): boolean {
    const { text, statuses, environment, suite, pkg, minimumMs, onlyNew } = this.#filter;
    return statuses.size > 0 || onlyNew || minimumMs > 0 || [text, environment, suite, pkg].some((part) => part !== '');
  }

  change(part: Partial<TestFilter>): void {
    this.#filter = { ...this.#filter, ...part };
    for (const listener of this.#listeners) listener();
  }

  clear(): void {
    this.change(NO_FILTER);
  }

  toggleStatus(status: Status | 'flaky'): void {
    const statuses = new Set(this.#filter.statuses);
    if (!statuses.delete(status)) statuses.add(status);
    this.change({ statuses });
  }

  listen(listener: () => void): void {
    this.#listeners.push(listener);
  }
}
