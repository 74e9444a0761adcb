import type { Failure, Status } from '../../model.js';
import type { CreateReader, Emit, Reader, ReaderOptions } from '../../reader.js';
import { emitTest } from '../document/emit-test.js';
import { makeFailure } from '../document/failure.js';
import { LineCutter } from '../document/lines.js';
import { testId } from '../document/names.js';
import { RepairNotes } from '../document/repairs.js';
import { parseTapLine, type TapLine } from './line.js';
import { YamlBlock } from './yaml-block.js';

/**
 * Reads TAP 12 to 14: subtests (indented, announced or not, or in braces), YAML blocks, plans, bail-outs, directives.
 *
 * - Every result line is a test; TAP has no packages, so the package is ''. A result inside a subtest is named
 *   `parent > child`; the line that closes the subtest is the parent's own. A name that was used before on its level gets
 *   its number (`name (2)`): in TAP repeated descriptions are other tests, not reruns.
 * - `# SKIP` and `# TODO` are skipped whatever the result, but a todo that passes has passed.
 * - What is wrong outside the results fails the package '': a bail-out, a plan that is missing or was not kept.
 *
 * An own parser in place of `tap-parser`, because that one holds all results and all text of a document, and a line of
 * any length, in memory, parses YAML with its tags, and gives no place for output that belongs to no test.
 *
 * @see {@link https://testanything.org/tap-version-14-specification.html}
 */
export const createTapReader: CreateReader = (emit, options) => new TapReader(emit, options);

/** A level of subtests; the first is the document. */
interface Level {
  /** `undefined` until a line shows it: after a `{`, or where one announcement follows another. */
  indent: number | undefined;
  /** Names on this level, with how often they were used. */
  readonly names: Map<string, number>;
  readonly ids: Set<number>;
  plan: { start: number; end: number; skipReason: string | undefined } | undefined;
  results: number;
  /** Announced by `# Subtest: name`, or by the result that opened braces. */
  readonly announced: string | undefined;
  /** The result that opened braces; it is sent when the braces close. */
  readonly buffered: ResultLine | undefined;
  /** Results of a level that was not announced wait here, as only the result after them names it. */
  readonly waiting: Waiting[] | undefined;
}

interface Waiting {
  readonly names: readonly string[];
  readonly status: Status;
  readonly durationMs: number | undefined;
  readonly failure: Failure | undefined;
  readonly skipReason: string | undefined;
}

type ResultLine = Extract<TapLine, { type: 'result' }>;

/** More results than this in a subtest without a name are sent under the name of its place. */
const WAITING_LIMIT = 10_000;
/** Deeper levels are read as part of the last one. */
const DEPTH_LIMIT = 100;

class TapReader implements Reader {
  readonly format = 'tap';
  readonly #emit: Emit;
  readonly #unfinished: Status;
  readonly #repairs = new RepairNotes();
  readonly #lines: LineCutter;
  readonly #levels: Level[] = [newLevel(0)];
  readonly #problems: string[] = [];
  readonly #used = new Map<string, number>();
  #lineNumber = 0;
  #isContinued = false;
  #pending: { readonly line: ResultLine; readonly depth: number; yaml: YamlBlock | undefined } | undefined;
  #yaml: { readonly indent: number; readonly block: YamlBlock } | undefined;
  #announced: { readonly indent: number; readonly name: string } | undefined;
  #bailed: string | undefined;
  #sawAnything = false;

  constructor(emit: Emit, options: ReaderOptions = {}) {
    this.#emit = emit;
    this.#unfinished = options.timedOut === true ? 'timedout' : 'notrun';
    this.#lines = new LineCutter((line, partial) => {
      this.#line(line, partial);
    });
  }

  write(piece: string): void {
    this.#lines.write(piece);
  }

  end(): void {
    this.#lines.end();
    if (this.#yaml !== undefined) this.#repairs.add('truncated', 'the input ends inside a YAML block');
    this.#flush();
    while (this.#levels.length > 1) this.#closeLevel(undefined);
    const [root] = this.#levels;
    if (root !== undefined) this.#checkPlan(root, 'the document');
    this.#endPackage();
    this.#repairs.emitAll(this.#emit);
  }

  #line(text: string, partial: boolean): void {
    // A line over the limit comes in pieces: the first decides, the rest is output.
    const continued = this.#isContinued;
    this.#isContinued = partial;
    if (continued) {
      this.#emit({ type: 'output', text, ...(partial ? { partial } : {}) });
      return;
    }
    this.#lineNumber += 1;
    const indent = /^[ \t]*/.exec(text)?.[0].length ?? 0;
    const content = text.slice(indent);
    if (this.#yaml !== undefined) {
      if (content.trimEnd() === '...' && indent <= this.#yaml.indent) this.#yaml = undefined;
      else if (indent >= this.#yaml.indent || content === '') this.#yaml.block.add(text.slice(this.#yaml.indent));
      else {
        this.#repairs.add('unclosed-yaml', 'a YAML block has no end', { line: this.#lineNumber });
        this.#yaml = undefined;
        this.#interpret(text, indent, content, partial);
      }
      return;
    }
    if (content.trimEnd() === '---' && this.#pending !== undefined && indent > this.#indentOf(this.#pending.depth)) {
      const block = new YamlBlock();
      this.#pending.yaml = block;
      this.#yaml = { indent, block };
      return;
    }
    this.#interpret(text, indent, content, partial);
  }

  #interpret(text: string, indent: number, content: string, partial: boolean): void {
    if (content.trimEnd() === '}' && this.#closeBrace(indent)) return;
    const line = parseTapLine(content);
    if (line.type === 'subtest') {
      this.#flush();
      this.#announce(indent, line.name);
      this.#sawAnything = true;
      return;
    }
    const counts = line.type === 'result' || line.type === 'plan' || line.type === 'bailout' || line.type === 'version';
    if (!counts) {
      if (line.type === 'pragma') return;
      this.#emit({ type: 'output', text, ...(partial ? { partial } : {}) });
      return;
    }
    if (partial) this.#repairs.add('long-line', 'a result line is longer than 64 KiB', { line: this.#lineNumber });
    this.#flush();
    this.#enter(indent, line);
    this.#sawAnything = true;
    if (line.type === 'bailout') {
      this.#bailed ??= line.reason;
      return;
    }
    if (line.type === 'plan') this.#plan(line);
    else if (line.type === 'result') this.#result(line);
  }

  get #top(): Level {
    return this.#levels.at(-1) ?? newLevel(0);
  }

  #indentOf(depth: number): number {
    for (let index = depth; index > 0; index -= 1) {
      const indent = this.#levels[index]?.indent;
      if (indent !== undefined) return indent;
    }
    return 0;
  }

  /**
   * A `# Subtest: name`. Some producers write it on the level of the parent, some on that of the subtest itself; the
   * lines after it tell which, so it is only remembered here.
   */
  #announce(indent: number, name: string): void {
    this.#leave(indent, undefined);
    const before = this.#announced;
    const floor = this.#indentOf(this.#levels.length - 1);
    if (before !== undefined && this.#levels.length < DEPTH_LIMIT && indent >= before.indent && indent > floor) {
      this.#levels.push(newLevel(before.indent > floor ? before.indent : undefined, before.name));
    }
    this.#announced = { indent, name };
  }

  /** Ends the levels that a line with this indentation can not be in. */
  #leave(indent: number, closing: ResultLine | undefined): void {
    while (this.#levels.length > 1) {
      const top = this.#top;
      const parent = this.#indentOf(this.#levels.length - 2);
      if (top.indent === undefined ? indent > parent : indent >= top.indent) return;
      if (indent > parent && this.#levels.at(-2)?.indent !== undefined && this.#levels.length < DEPTH_LIMIT) {
        // A level that shows only now, after its subtest: nobody announced it.
        this.#levels.splice(-1, 0, newLevel(indent));
      }
      // The result that follows a subtest on the level above closes it and names it.
      this.#closeLevel(indent >= parent ? closing : undefined);
    }
  }

  /** Brings the levels to the one in which a line with this indentation stands. */
  #enter(indent: number, line: TapLine): void {
    const result = line.type === 'result' ? line : undefined;
    const announced = this.#announced;
    this.#announced = undefined;
    this.#leave(indent, result);
    const top = this.#top;
    const isParents = announced !== undefined && result?.description === announced.name;
    if (top.indent === undefined) {
      if (announced === undefined || indent < announced.indent || (indent === announced.indent && isParents)) {
        top.indent = indent;
        return;
      }
      if (indent > announced.indent) top.indent = announced.indent;
    } else if (indent === top.indent) return;
    if (this.#levels.length < DEPTH_LIMIT) this.#levels.push(newLevel(indent, announced?.name));
  }

  /** @returns false when no subtest in braces is open, so that the line is no part of TAP */
  #closeBrace(indent: number): boolean {
    const isOpen = this.#levels.some(
      (level, depth) => level.buffered !== undefined && indent <= this.#indentOf(depth - 1),
    );
    if (!isOpen) return false;
    this.#flush();
    this.#announced = undefined;
    for (let closed: Level | undefined; closed?.buffered === undefined && this.#levels.length > 1;) {
      closed = this.#top;
      this.#closeLevel(undefined);
    }
    return true;
  }

  #closeLevel(closing: ResultLine | undefined): void {
    const level = this.#levels.pop();
    if (level === undefined) return;
    const name = level.announced ?? closing?.description ?? '';
    const shown = name === '' ? `subtest ${this.#top.results + 1}` : name;
    this.#checkPlan(level, `subtest "${shown}"`);
    const number = this.#number(this.#top, shown, false);
    for (const waiting of level.waiting ?? []) this.#send({ ...waiting, names: [number, ...waiting.names] });
    if (level.buffered !== undefined) this.#settle(level.buffered, this.#levels.length - 1, undefined);
  }

  #plan({ start, end, skipReason }: Extract<TapLine, { type: 'plan' }>): void {
    if (this.#top.plan !== undefined) {
      this.#repairs.add('second-plan', 'a second plan is ignored', { line: this.#lineNumber });
      return;
    }
    this.#top.plan = { start, end, skipReason };
    if (end === 0 && this.#levels.length === 1 && this.#top.results === 0) {
      // The whole document is skipped: that is one thing to see, not nothing.
      this.#emit({ type: 'package-ended', package: '', status: 'skipped' });
    }
  }

  #result(line: ResultLine): void {
    this.#top.results += 1;
    if (line.id !== undefined) {
      if (this.#top.ids.has(line.id)) {
        this.#repairs.add('duplicate-id', `result ${line.id} comes more than once`, { line: this.#lineNumber });
      }
      this.#top.ids.add(line.id);
    }
    this.#pending = { line, depth: this.#levels.length - 1, yaml: undefined };
    if (line.opensBuffer && this.#levels.length < DEPTH_LIMIT) {
      this.#pending = undefined;
      const name = line.description === '' ? `test ${line.id ?? this.#top.results}` : line.description;
      this.#levels.push(newLevel(undefined, name, line));
    }
  }

  /** Sends the result that was waiting for its YAML block. */
  #flush(): void {
    const pending = this.#pending;
    this.#pending = undefined;
    this.#yaml = undefined;
    if (pending !== undefined) this.#settle(pending.line, pending.depth, pending.yaml);
  }

  #settle(line: ResultLine, depth: number, yaml: YamlBlock | undefined): void {
    const level = this.#levels[depth];
    if (level === undefined) return;
    const plain = line.description === '' ? `test ${line.id ?? level.results}` : line.description;
    const status = statusOf(line);
    this.#send({
      names: [this.#number(level, plain, true)],
      status,
      durationMs: line.timeMs ?? yaml?.durationMs,
      failure: status === 'failed' ? (yaml?.failure(plain) ?? makeFailure({ message: plain })) : undefined,
      skipReason: status === 'skipped' ? skipReasonOf(line) : undefined,
    });
  }

  /** The name as it is unique on its level. A subtest and the result that closes it share one. */
  #number(level: Level, name: string, uses: boolean): string {
    const used = level.names.get(name) ?? 0;
    if (uses) level.names.set(name, used + 1);
    return used === 0 ? name : `${name} (${used + 1})`;
  }

  /** Puts the names of the levels around a result before its own, or lets it wait for them. */
  #send(result: Waiting): void {
    let names = result.names;
    for (let depth = this.#levels.length - 1; depth > 0; depth -= 1) {
      const level = this.#levels[depth];
      const parent = this.#levels[depth - 1];
      if (level === undefined || parent === undefined) break;
      if (level.announced === undefined && level.waiting !== undefined && level.waiting.length < WAITING_LIMIT) {
        level.waiting.push({ ...result, names });
        return;
      }
      names = [this.#number(parent, level.announced ?? `subtest ${parent.results + 1}`, false), ...names];
    }
    const { status, durationMs, failure, skipReason } = result;
    emitTest(this.#emit, {
      test: testId('', this.#unused(names.join(' > '))),
      attempts: [{ status, durationMs, failure, skipReason }],
    });
  }

  /** Subtests without a name, or cut off before their result, can still give a name that was used. */
  #unused(name: string): string {
    const used = this.#used.get(name);
    this.#used.set(name, (used ?? 0) + 1);
    return used === undefined ? name : this.#unused(`${name} [${used + 1}]`);
  }

  #checkPlan(level: Level, where: string): void {
    const { plan, results } = level;
    if (plan === undefined) {
      if (level === this.#levels[0] && this.#sawAnything && this.#bailed === undefined)
        this.#problems.push('there is no plan');
      return;
    }
    const planned = Math.max(0, plan.end - plan.start + 1);
    if (planned === results || this.#bailed !== undefined) return;
    this.#problems.push(`${where} planned ${planned} tests and has ${results}`);
    this.#repairs.add('plan-not-kept', `${where} planned ${planned} tests and has ${results}`);
  }

  #endPackage(): void {
    if (this.#bailed !== undefined) {
      const message = this.#bailed === '' ? 'Bail out!' : `Bail out! ${this.#bailed}`;
      this.#emit({
        type: 'package-ended',
        package: '',
        status: 'error',
        failure: makeFailure({ message, kind: 'exit' }),
      });
      return;
    }
    const [first] = this.#problems;
    if (first === undefined) return;
    // Too few results, or none of the plan: whatever ran has probably been cut off.
    const status = this.#unfinished === 'timedout' ? 'timedout' : 'failed';
    const text = this.#problems.slice(0, 100).join('\n');
    this.#emit({
      type: 'package-ended',
      package: '',
      status,
      failure: makeFailure({ message: first, text, kind: 'exit' }),
    });
  }
}

function newLevel(indent: number | undefined, announced?: string, buffered?: ResultLine): Level {
  return {
    indent,
    names: new Map(),
    ids: new Set(),
    plan: undefined,
    results: 0,
    announced,
    buffered,
    waiting: indent !== 0 && announced === undefined ? [] : undefined,
  };
}

function statusOf({ ok, directive }: ResultLine): Status {
  if (directive === 'skip') return 'skipped';
  if (directive === 'todo') return ok ? 'passed' : 'skipped';
  return ok ? 'passed' : 'failed';
}

function skipReasonOf({ directive, reason }: ResultLine): string {
  return directive === 'todo' ? `TODO ${reason}`.trim() : reason;
}
