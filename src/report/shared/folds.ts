/**
 * Sections of a log that a reader wants closed: GitHub groups, minikube's post-mortem with the logs inside it, dumps of
 * standard output and error, goroutines of a crash. Found while lines stream by; each test has its own stack, because
 * parallel tests interleave.
 */

export type FoldKind = 'group' | 'post-mortem' | 'section' | 'output' | 'goroutine' | 'long-line' | 'test';

/** A section: its first row stays visible as its title, rows up to `endRow` close. */
export interface Fold {
  readonly kind: FoldKind;
  readonly title: string;
  /** 0-based row in the log, the title's. */
  readonly startRow: number;
  /** Last row of the section. */
  readonly endRow: number;
  /** Index of the owner (test attempt) whose lines it holds. */
  readonly owner: number;
  /** Error lines inside, the title not counted. */
  readonly errors: number;
}

interface OpenFold {
  readonly kind: FoldKind;
  readonly title: string;
  readonly startRow: number;
  lastRow: number;
  errors: number;
  /** Identity of the pair for markers that name it (`stdout`, `stderr`). */
  readonly pair: string;
}

/** Deeper nesting than this is not a log any more. */
const MAXIMUM_DEPTH = 24;
const TITLE_CHARACTERS = 200;

type Marker =
  | { readonly act: 'open'; readonly kind: FoldKind; readonly title: string; readonly pair: string }
  | { readonly act: 'close'; readonly kind: FoldKind; readonly pair: string };

// GitHub's runner: `::group::` in a command's output, `##[group]` in a downloaded log behind its time stamp.
const GROUP = /^(?:\S+Z )?(?:::group::|##\[group\])(.*)$/;
const GROUP_END = /^(?:\S+Z )?(?:::endgroup::|##\[endgroup\])/;
// minikube:test/integration/helpers_test.go PostMortemLogs; lines carry `helpers_test.go:222: ` in front.
const MORTEM_START = /<<< (.+?) FAILED: start of post-mortem logs <<</;
const MORTEM_END = /<<< .+? FAILED: end of post-mortem logs <<</;
const MORTEM_RULE = /-{8,}(.*?)post-mortem-{8,}/;
const MORTEM_RULE_END = /-{8,}\/post-mortem-{8,}/;
const MORTEM_PART = /={4,}>\s+(post-mortem\[.*?\]: .+?) <={4,}/;
// minikube logs, and others after it: `==> kubelet <==`.
const SECTION = /==> (.{1,160}?) <==/;
const OUTPUT = /^\s*(?:-- (stdout) --|\*\* (stderr) \*\*)\s*$/;
const OUTPUT_END = /^\s*(?:-- \/(stdout) --|\*\* \/(stderr) \*\*)\s*$/;
const GOROUTINE = /^\s*(goroutine \d+ (?:gp=\S+ )?(?:m=\S+ )?(?:mp=\S+ )?\[[^\]]{1,120}\]:)$/;

function markerOf(line: string): Marker | undefined {
  // One of these is in every marker: most lines leave here.
  if (!/(?:--|\*\*|==|##|::|<<<|goroutine )/.test(line) || line.length > 1000) return undefined;
  const group = GROUP.exec(line);
  if (group !== null) return { act: 'open', kind: 'group', title: group[1]?.trim() || 'group', pair: '' };
  if (GROUP_END.test(line)) return { act: 'close', kind: 'group', pair: '' };
  const mortem = MORTEM_START.exec(line);
  if (mortem !== null)
    return { act: 'open', kind: 'post-mortem', title: `Post-mortem of ${mortem[1] ?? ''}`, pair: 'logs' };
  if (MORTEM_END.test(line)) return { act: 'close', kind: 'post-mortem', pair: 'logs' };
  if (MORTEM_RULE_END.test(line)) return { act: 'close', kind: 'post-mortem', pair: 'rule' };
  const rule = MORTEM_RULE.exec(line);
  if (rule !== null) {
    return { act: 'open', kind: 'post-mortem', title: `${rule[1]?.trim() ?? ''} post-mortem`.trim(), pair: 'rule' };
  }
  const part = MORTEM_PART.exec(line);
  if (part !== null) return { act: 'open', kind: 'section', title: part[1] ?? '', pair: 'part' };
  const section = SECTION.exec(line);
  if (section !== null) return { act: 'open', kind: 'section', title: section[1]?.trim() ?? '', pair: 'section' };
  const output = OUTPUT.exec(line);
  if (output !== null) {
    const stream = output[1] ?? output[2] ?? '';
    return { act: 'open', kind: 'output', title: stream, pair: stream };
  }
  const outputEnd = OUTPUT_END.exec(line);
  if (outputEnd !== null) return { act: 'close', kind: 'output', pair: outputEnd[1] ?? outputEnd[2] ?? '' };
  const goroutine = GOROUTINE.exec(line);
  if (goroutine !== null) return { act: 'open', kind: 'goroutine', title: goroutine[1] ?? '', pair: '' };
  return undefined;
}

/** Finds sections in rows given in order. */
export class FoldFinder {
  readonly #stacks = new Map<number, OpenFold[]>();
  readonly #found: (fold: Fold) => void;

  constructor(found: (fold: Fold) => void) {
    this.#found = found;
  }

  add(row: number, owner: number, line: string, isError: boolean): void {
    const marker = markerOf(line);
    const stack = this.#stacks.get(owner);
    if (marker === undefined) {
      if (stack === undefined) return;
      // A goroutine of a crash ends at the first empty line.
      if (line.trim() === '' && stack.at(-1)?.kind === 'goroutine') this.#close(owner, stack, stack.length - 1);
      for (const open of stack) {
        open.lastRow = row;
        if (isError) open.errors += 1;
      }
      return;
    }
    if (marker.act === 'open') this.#open(row, owner, marker, stack ?? []);
    else if (stack !== undefined) this.#end(row, owner, marker, stack);
  }

  /** The owner ended: what is open ends with it. */
  endOwner(owner: number): void {
    const stack = this.#stacks.get(owner);
    if (stack !== undefined) this.#close(owner, stack, 0);
  }

  end(): void {
    for (const [owner, stack] of this.#stacks) this.#close(owner, stack, 0);
  }

  #open(row: number, owner: number, marker: Extract<Marker, { act: 'open' }>, stack: OpenFold[]): void {
    const level = siblingLevel(stack, marker);
    if (level !== undefined) this.#close(owner, stack, level);
    for (const open of stack) open.lastRow = row;
    if (stack.length >= MAXIMUM_DEPTH) return;
    stack.push({
      kind: marker.kind,
      title: marker.title.slice(0, TITLE_CHARACTERS),
      startRow: row,
      lastRow: row,
      errors: 0,
      pair: marker.pair,
    });
    this.#stacks.set(owner, stack);
  }

  #end(row: number, owner: number, marker: Extract<Marker, { act: 'close' }>, stack: OpenFold[]): void {
    const level = stack.findLastIndex((open) => open.kind === marker.kind && open.pair === marker.pair);
    for (const open of level === -1 ? stack : stack.slice(0, level + 1)) open.lastRow = row;
    if (level !== -1) this.#close(owner, stack, level);
  }

  #close(owner: number, stack: OpenFold[], level: number): void {
    for (const open of stack.splice(level).reverse()) {
      if (open.lastRow === open.startRow) continue;
      const { kind, title, startRow, lastRow, errors } = open;
      this.#found({ kind, title, startRow, endRow: lastRow, owner, errors });
    }
    if (stack.length === 0) this.#stacks.delete(owner);
  }
}

/** Level of the open section that a new one replaces: sections follow each other without an end marker. */
function siblingLevel(stack: readonly OpenFold[], marker: { kind: FoldKind; pair: string }): number | undefined {
  if (marker.kind === 'section' || marker.kind === 'goroutine') {
    // `==> b <==` ends `==> a <==`; a new part of a post-mortem ends both.
    const boundary = stack.findLastIndex(
      (open) => open.kind === 'output' || open.kind === 'post-mortem' || open.kind === 'group',
    );
    const level = stack.findIndex(
      (open, index) =>
        open.kind === marker.kind && open.pair === marker.pair && (marker.pair === 'part' || index > boundary),
    );
    return level === -1 ? undefined : level;
  }
  // The logs of a post-mortem begin where its settings end.
  if (marker.kind === 'post-mortem' && marker.pair === 'logs') {
    const part = stack.findIndex((open) => open.kind === 'section' && open.pair === 'part');
    if (part !== -1) return part;
  }
  // The same dump can not be open twice: an end marker was lost.
  const level =
    marker.kind === 'group' ? -1 : stack.findIndex((open) => open.kind === marker.kind && open.pair === marker.pair);
  return level === -1 ? undefined : level;
}
