import type { EnvironmentVersion, FlakeStore } from '../store/store.js';

/** A database, by the object that reads it. */
type Reader = Pick<FlakeStore, 'environments'>;

/** Spans and kinds of runs that are remembered of a database, those used last: most readers look at the same. */
const MOST_VIEWS = 8;

/**
 * Remembers what was read of environments, each part as long as the version of its environment: a run in one of twenty costs
 * their page a twentieth.
 */
export class EnvironmentMemo<T> {
  readonly #readers = new WeakMap<Reader, Map<string, Map<number, { readonly version: string; readonly part: T }>>>();

  /**
   * @param view what else the parts depend on
   * @param environments as they were before anything is read of them
   * @param read reads the environments that are not remembered. @returns a part of each, by its id
   */
  async get(
    reader: Reader,
    view: string,
    environments: readonly EnvironmentVersion[],
    read: (ids: readonly number[]) => Promise<ReadonlyMap<number, T>>,
  ): Promise<ReadonlyMap<number, T>> {
    const known = this.#viewOf(reader, view);
    const stale = environments.filter(({ id, version }) => known.get(id)?.version !== version);
    const parts = stale.length === 0 ? new Map<number, T>() : await read(stale.map(({ id }) => id));
    for (const { id, version } of stale) {
      const part = parts.get(id);
      if (part !== undefined) known.set(id, { version, part });
    }
    return new Map(
      environments.flatMap(({ id }) => {
        const part = parts.get(id) ?? known.get(id)?.part;
        return part === undefined ? [] : [[id, part]];
      }),
    );
  }

  #viewOf(reader: Reader, view: string): Map<number, { readonly version: string; readonly part: T }> {
    const views = this.#readers.get(reader) ?? new Map<string, Map<number, { version: string; part: T }>>();
    this.#readers.set(reader, views);
    const known = views.get(view) ?? new Map<number, { version: string; part: T }>();
    // Last in the order of a Map: most recently used.
    views.delete(view);
    views.set(view, known);
    for (const oldest of views.keys()) {
      if (views.size <= MOST_VIEWS) break;
      views.delete(oldest);
    }
    return known;
  }
}
