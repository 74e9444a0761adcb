import type { Repair } from '../../model.js';
import type { GoEvent } from '../go/event.js';
import { detach } from '../go/failure-lines.js';

/**
 * Reads what gotestsum prints for people: one line a test (`-f testname`, `-f github-actions`), one line or one mark a
 * package (`pkgname`, `dots`, `testdox`), and the summary at the end (`=== Failed`, `=== Skipped`) that all formats share.
 * Package names are as short as gotestsum makes them.
 *
 * Formats that do not name their passing tests say only how many there were; the difference is a repair.
 *
 * @see {@link https://github.com/gotestyourself/gotestsum} `testjson/format.go` and `testjson/summary.go`
 */
export interface GotestsumReader {
  /** `partial`: more of the same line follows. */
  line(line: string, partial: boolean): void;
  end(): void;
}

export interface GotestsumOptions {
  readonly emit: (event: GoEvent) => void;
  readonly repair: (repair: Repair) => void;
  /** Takes what belongs to no test. */
  readonly stray: (line: string, partial: boolean) => void;
  /** Only the summary at the end is gotestsum's, as in its `standard-quiet`: names of packages seen before it. */
  readonly summaryOf?: readonly string[];
}

const NAME = String.raw`(?:Test|Example|Fuzz|Benchmark)\S*`;
const SECONDS = String.raw`\((\d+\.\d+)s\)`;
/** `PASS pkg.TestA (0.00s)`, with ` (re-run 1)` in a rerun; behind two spaces or `::group::` for GitHub. */
const RESULT = new RegExp(
  String.raw`^(?: {2}|::group::)?(PASS|FAIL|SKIP) (\S*?)\.(${NAME})(?: \(re-run \d+\))? ${SECONDS}$`,
);
const PACKAGE_RESULT = /^(?: {2})?(PASS|FAIL|EMPTY) (?:Package )?(\S+)(?: \(.*\))?$/;
const PACKAGE_MARK = /^(✓|✖|∅|↷)\s+(\S+)(?: \(.*\))?$/u;
const DOX_PACKAGE = /^(\S+\/\S+|\S+):$/;
/** `(unknown)` for a test that never ended. */
const SUMMARY_RESULT = new RegExp(
  String.raw`^=== (FAIL|SKIP): (\S+) (${NAME})(?: \(re-run \d+\))? \((?:(\d+\.\d+)s|unknown)\)$`,
);
const SUMMARY_PACKAGE = /^=== FAIL: (\S+)(?: \(\d+\.\d+s\))?$/;
const DONE =
  /^DONE (?:\d+ runs, )?(\d+) tests?(?:, (\d+) skipped)?(?:, (\d+) failures?)?(?:, (\d+) errors?)? in [\d.]+s$/;
/** Lines kept while it is not known whose they are; a test that prints more has the first ones with nobody. */
const MOST_HELD = 5_000;

/** Whether text that begins like this comes from gotestsum in one of its own formats. */
export function isGotestsum(head: string): boolean {
  const lines = head.split('\n');
  if (lines.some((line) => RESULT.test(line))) return true;
  // Below lines of packages as the go command prints them only the summary is gotestsum's.
  if (lines.some((line) => /^(?:ok {2}\t|FAIL\t|\? {3}\t)/.test(line))) return false;
  return lines.some((line) => SUMMARY_RESULT.test(line) || DONE.test(line));
}

/** Whether a line begins the summary that gotestsum prints below any format. */
export function isSummaryHead(line: string): boolean {
  return /^=== (?:Failed|Skipped|Errors)$/.test(line) || DONE.test(line);
}

export function createGotestsumReader({ emit, repair, stray, summaryOf }: GotestsumOptions): GotestsumReader {
  const seen = new Map<string, Set<string>>();
  let held: { readonly text: string; readonly partial: boolean }[] = [];
  let owner: { readonly package: string; readonly test: string } | undefined;
  let isSummary = summaryOf !== undefined;
  let inErrors = false;
  let tests = 0;

  const ended = new Set<string>();
  const failing = new Set<string>();
  /** The result of a test whose output comes behind its name. */
  let pending: GoEvent | undefined;
  /** The summary tells of a test that was told of before: its lines were read there. */
  let isRepeated = false;

  function output(text: string, partial: boolean): void {
    if (owner === undefined) stray(text, partial);
    else emit({ action: 'output', ...owner, output: partial ? text : `${text}\n` });
  }

  function release(to: typeof owner): void {
    owner = to;
    for (const { text, partial } of held) output(text, partial);
    held = [];
    owner = undefined;
  }

  function result(word: string, pkg: string, name: string, seconds: string | undefined, isOpen: boolean): void {
    const [where, test] = [fullName(detach(pkg)), detach(name)];
    const names = seen.get(where) ?? new Set();
    seen.set(where, names);
    if (isSummary && names.has(test)) {
      owner = undefined;
      isRepeated = true;
      return;
    }
    isRepeated = false;
    if (!names.has(test)) tests += 1;
    if (word === 'FAIL') failing.add(where);
    names.add(test);
    emit({ action: 'run', package: where, test });
    release({ package: where, test });
    // A package of which the end was told has tests again.
    ended.delete(pkg);
    pending =
      seconds === undefined
        ? undefined
        : { action: ACTIONS[word] ?? 'fail', package: where, test, elapsedSeconds: Number(seconds) };
    owner = { package: where, test };
    if (!isOpen) settle();
  }

  function settle(): void {
    if (pending !== undefined) emit(pending);
    pending = undefined;
    owner = undefined;
  }

  /** The package that an earlier line named in full, when only one fits. */
  function fullName(short: string): string {
    const fitting = summaryOf?.filter((name) => name === short || name.endsWith(`/${short}`)) ?? [];
    return fitting.length === 1 ? (fitting[0] ?? short) : short;
  }

  function endPackage(word: string, name: string): void {
    settle();
    release(undefined);
    const action = word === 'FAIL' || word === '✖' ? 'fail' : word === 'PASS' || word === '✓' ? 'pass' : 'skip';
    ended.add(name);
    emit({ action, package: detach(name) });
  }

  function takeSummary(text: string, partial: boolean): void {
    if (/^=== (?:Failed|Skipped|Errors)$/.test(text)) {
      settle();
      isRepeated = false;
      inErrors = text.endsWith('Errors');
      return;
    }
    const entry = inErrors ? null : SUMMARY_RESULT.exec(text);
    if (entry !== null) {
      settle();
      result(entry[1] ?? '', entry[2] ?? '', entry[3] ?? '', entry[4], true);
      return;
    }
    const broken = inErrors ? undefined : SUMMARY_PACKAGE.exec(text)?.[1];
    if (broken !== undefined) {
      settle();
      isRepeated = false;
      if (!ended.has(broken)) endPackage('FAIL', broken);
      return;
    }
    const done = DONE.exec(text);
    if (done !== null) {
      settle();
      checkTotal(Number(done[1]));
      endPackages();
      return;
    }
    if (!isRepeated && text !== '') output(text, partial);
  }

  /** The run is over: packages of which nothing was said end as their tests did. */
  function endPackages(): void {
    for (const name of seen.keys()) if (!ended.has(name)) endPackage(failing.has(name) ? 'FAIL' : 'PASS', name);
  }

  function checkTotal(total: number): void {
    if (total > tests) {
      repair({
        kind: 'tests-not-listed',
        message: `${String(total - tests)} of ${String(total)} tests are not named: this format of gotestsum lists failures and skips only`,
      });
    }
  }

  return {
    line(text, partial) {
      if (isSummary) {
        takeSummary(text, partial);
        return;
      }
      if (!partial && text.length < 4_096) {
        if (isSummaryHead(text)) {
          settle();
          release(undefined);
          isSummary = true;
          takeSummary(text, false);
          return;
        }
        if (text === '::endgroup::') {
          settle();
          return;
        }
        const one = RESULT.exec(text);
        if (one !== null) {
          settle();
          result(one[1] ?? '', one[2] ?? '', one[3] ?? '', one[4], text.startsWith('::group::'));
          return;
        }
        const end = pending === undefined ? (PACKAGE_RESULT.exec(text) ?? PACKAGE_MARK.exec(text)) : null;
        if (end !== null) {
          endPackage(end[1] ?? '', end[2] ?? '');
          return;
        }
        if (pending === undefined && held.length === 0 && DOX_PACKAGE.test(text)) return;
      }
      if (pending !== undefined) output(text, partial);
      else {
        held.push({ text: detach(text), partial });
        if (held.length > MOST_HELD) release(undefined);
      }
    },
    end() {
      settle();
      release(undefined);
    },
  };
}

const ACTIONS: Readonly<Record<string, 'pass' | 'fail' | 'skip'>> = { PASS: 'pass', FAIL: 'fail', SKIP: 'skip' };
