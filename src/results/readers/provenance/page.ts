/** One row of `PROVENANCE.md`: a file and what an independent count says of it. */
export interface ProvenanceRow {
  /** Folder below `shared/data`, the title of the section. */
  readonly kind: string;
  readonly file: string;
  /** The column `holds`. */
  readonly holds: string;
  readonly note: string;
}

/** The rows of the sections `## kind (n files)`, and the derived files of gopogh, which name their folder; other sections are left out. */
export function parseProvenance(markdown: string): readonly ProvenanceRow[] {
  const rows: ProvenanceRow[] = [];
  let kind: string | undefined;
  for (const line of markdown.split('\n')) {
    if (line.startsWith('## ')) {
      kind = /^## (\S+) \(\d+ files\)/.exec(line)?.[1];
      continue;
    }
    const cells = line.split('|').map((cell) => cell.trim());
    const [, file, , , holds, note] = cells;
    const summary = /^(gopogh-summary)\/(\S+)$/.exec(file ?? '');
    if (summary !== null) {
      rows.push({ kind: summary[1] ?? '', file: summary[2] ?? '', holds: cells[2] ?? '', note: '' });
      continue;
    }
    if (kind === undefined || file === undefined || holds === undefined || !/\.\w+$/.test(file)) continue;
    rows.push({ kind, file, holds, note: note ?? '' });
  }
  return rows;
}

/** Something that the page says of a file and that our readers must find too. */
export interface Fact {
  readonly name: string;
  readonly expected: unknown;
  readonly actual: unknown;
}

/**
 * Checks the files of one kind.
 *
 * @param path of the file on disk
 * @returns the facts that were compared; none for a file of which nothing can be compared
 */
export type CheckKind = (row: ProvenanceRow, path: string) => Promise<readonly Fact[]>;

/** The number behind a word, such as `re-run tests 3`; 0 when the page does not mention it. */
export function numberAfter(text: string, words: string): number {
  const match = new RegExp(`(?:^|[\\s;:,])${words} (\\d+)`).exec(text);
  return match === null ? 0 : Number(match[1]);
}

/** The number before a word, such as `3 pkg`. */
export function numberBefore(text: string, words: string): number {
  const match = new RegExp(`(\\d+) ${words}`).exec(text);
  return match === null ? 0 : Number(match[1]);
}
