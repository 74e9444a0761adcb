import type { TestId } from '../../model.js';
import type { Emit } from '../../reader.js';

/**
 * Notes what was irregular, folded by kind: a file with 100,000 negative times gives one repair with a count, which
 * keeps the place and test of the first.
 */
export class RepairNotes {
  readonly #byKind = new Map<string, { message: string; line?: number; test?: TestId; count: number }>();

  add(kind: string, message: string, where: { readonly line?: number | undefined; readonly test?: TestId } = {}): void {
    const known = this.#byKind.get(kind);
    if (known !== undefined) {
      known.count += 1;
      return;
    }
    this.#byKind.set(kind, {
      message: message.slice(0, 1000),
      ...(where.line === undefined ? {} : { line: where.line }),
      ...(where.test === undefined ? {} : { test: where.test }),
      count: 1,
    });
  }

  emitAll(emit: Emit): void {
    for (const [kind, note] of this.#byKind) emit({ type: 'repair', kind, ...note });
    this.#byKind.clear();
  }
}
