import { detach } from '../go/failure-lines.js';
import type { GoAction, GoEvent } from '../go/event.js';
import { findMarkers, markerDepth, parseFrame, parsePackageLine, type Marker } from '../go/frames.js';

/**
 * Turns what `go test` prints for people into the events of `go test -json`, as test2json does: frames say who speaks,
 * results are held back until their indented details are over, the last line of a package ends it.
 *
 * Beyond test2json it takes several packages in one text (all events carry the package '', the end of a package comes
 * as an event without a test), finds results glued to other text where nothing else can tell them, tells output of
 * builds apart, and does not take a result for a test that has ended already for a new one.
 *
 * @see {@link https://pkg.go.dev/cmd/test2json} for the events
 */
export interface Converter {
  /** `partial`: more of the same line follows. */
  line(line: string, partial: boolean): void;
  end(): void;
}

export interface ConverterOptions {
  readonly emit: (event: GoEvent) => void;
  /** A result that was found behind other text. */
  readonly onGlued?: (test: string) => void;
  /** A name that was cut because it does not fit into a piece of a line. */
  readonly onLongName?: (test: string) => void;
}

/** ^V, which test binaries put before frames when asked with `-test.v=test2json`. */
const MARK = '\x16';
const TEST_NAME = /^(?:Test|Benchmark|Fuzz|Example)/;
const LONG_FRAME = /^(=== (?:RUN|PAUSE|CONT|NAME) +|\s*--- (?:PASS|FAIL|SKIP): )(\S+)$/;
/** Shorter than a piece of a line by more than any frame before it. */
const LONG_NAME = 60_000;
const LOG_LINE = /^\s+[^\s:]+\.go:\d+: /;
const BUILD_HEAD = /^# (\S+(?: \[[^\]]+\])?)$/;
const BUILD_LINE = /^(?:\S+\.(?:go|s|c|h):\d+|\s|vet: |too many errors|note: |package \S+|imports )/;

interface Report {
  readonly action: GoAction;
  readonly test: string;
  readonly seconds: number | undefined;
}

export function createConverter({
  emit,
  onGlued = () => undefined,
  onLongName = () => undefined,
}: ConverterOptions): Converter {
  let speaker = '';
  let reports: Report[] = [];
  /** Frames carry ^V: text that looks like one is the test's own. */
  let needsMark = false;
  /** The package prints `=== RUN`, so that every test is announced. */
  let isVerbose = false;
  let isContinued = false;
  let build: string | undefined;
  let open = new Set<string>();
  let ended = new Set<string>();

  function line(text: string, partial: boolean): void {
    if (isContinued || partial) {
      if (partial && !isContinued && takeLongFrame(text)) {
        isContinued = partial;
        return;
      }
      output(partial ? text : `${text}\n`);
      isContinued = partial;
      return;
    }
    let from = 0;
    for (let at = text.indexOf(MARK, 1); at >= 0; at = text.indexOf(MARK, from + 1)) {
      take(text.slice(from, at), '');
      from = at;
    }
    take(from === 0 ? text : text.slice(from), '\n');
  }

  /** A frame or a result whose name fills the first piece of a line: the name is cut there, each time at the same place. */
  function takeLongFrame(text: string): boolean {
    const given = text.startsWith(MARK) ? text.slice(1) : text;
    const name = LONG_FRAME.exec(given)?.[2]?.slice(0, LONG_NAME);
    if (name === undefined || name.length < LONG_NAME || (needsMark && given === text)) return false;
    const isRun = given.startsWith('=== RUN');
    if (!isRun && !open.has(name)) return false;
    onLongName(name);
    take(`${text.slice(0, text.indexOf(name))}${name}`, '\n');
    return true;
  }

  function take(given: string, lineEnd: string): void {
    const isMarked = given.startsWith(MARK);
    const text = isMarked ? given.slice(1) : given;
    const summary = parsePackageLine(text);
    if (summary !== undefined) {
      flush(0);
      speaker = '';
      output(text + lineEnd);
      endPackage(summary.status, summary.seconds);
      return;
    }
    if (needsMark && !isMarked) {
      output(text + lineEnd);
      return;
    }
    if (text === 'PASS' || text === 'FAIL') {
      flush(0);
      speaker = '';
      needsMark = isMarked;
      output(text + lineEnd);
      return;
    }
    if (takeFrame(text, lineEnd, isMarked) || takeMarker(text, lineEnd, isMarked) || takeBuild(text)) return;
    const indent = indentOf(text);
    if (indent > 0 && indent <= reports.length) speaker = reports[indent - 1]?.test ?? speaker;
    output(text + lineEnd);
  }

  function takeFrame(text: string, lineEnd: string, isMarked: boolean): boolean {
    const frame = parseFrame(text);
    if (frame === undefined) return false;
    needsMark = isMarked;
    flush(0);
    const test = detach(frame.test);
    speaker = test;
    switch (frame.word) {
      case 'RUN':
        isVerbose = true;
        build = undefined;
        open.add(test);
        ended.delete(test);
        send('run', test);
        break;
      case 'PAUSE':
        output(text + lineEnd);
        send('pause', test);
        return true;
      case 'CONT':
        if (test !== '') send('cont', test);
        break;
      case 'ATTR': {
        const at = frame.rest.indexOf(' ');
        const key = at < 0 ? frame.rest : frame.rest.slice(0, at);
        emit({ action: 'attr', package: '', test, key, value: at < 0 ? '' : frame.rest.slice(at + 1) });
        break;
      }
      case 'ARTIFACTS':
        emit({ action: 'artifacts', package: '', test, path: frame.rest });
        break;
      case 'NAME':
        return true;
      default:
        frame.word satisfies never;
    }
    output(text + lineEnd);
    return true;
  }

  function takeMarker(text: string, lineEnd: string, isMarked: boolean): boolean {
    const [first, ...more] = findMarkers(text);
    if (first === undefined) return false;
    const depth = markerDepth(text, first);
    if (depth === undefined) return takeGlued(text, more.at(-1) ?? first, lineEnd);
    const test = detach(first.test);
    if (depth > reports.length) return false;
    // A fuzz test that fails reports itself once more, one step deeper.
    if (depth > 0 && reports[depth - 1]?.test === test) return false;
    // Without ^V anything may print such a line; in verbose output a test that ended does not end once more.
    if (!isMarked && isVerbose && !open.has(test) && ended.has(test)) return false;
    needsMark = isMarked;
    flush(depth);
    speaker = test;
    reports.push({ action: actionOf(first), test, seconds: first.seconds });
    open.delete(test);
    ended.add(test);
    build = undefined;
    output(text + lineEnd);
    return true;
  }

  /** Without `-v` no frame announces a test: a result behind other text is all that is known of it. */
  function takeGlued(text: string, marker: Marker, lineEnd: string): boolean {
    if (isVerbose || marker.end !== text.length || marker.seconds === undefined) return false;
    if (!TEST_NAME.test(marker.test) || LOG_LINE.test(text)) return false;
    output(text.slice(0, marker.index));
    onGlued(marker.test);
    return takeMarker(text.slice(marker.index), lineEnd, false);
  }

  function takeBuild(text: string): boolean {
    const head = speaker === '' && open.size === 0 && reports.length === 0 ? BUILD_HEAD.exec(text)?.[1] : undefined;
    // Vet repeats the package in brackets below its name.
    if (head?.startsWith('[') === true && build !== undefined) build = detach(build);
    else if (head !== undefined) build = detach(head);
    else if (build === undefined || !BUILD_LINE.test(text)) {
      build = undefined;
      return false;
    }
    emit({ action: 'build-output', package: '', importPath: build, output: `${text}\n` });
    return true;
  }

  function flush(depth: number): void {
    for (let report = reports.length > depth ? reports.pop() : undefined; report !== undefined;) {
      emit({ action: report.action, package: '', test: report.test, elapsedSeconds: report.seconds });
      report = reports.length > depth ? reports.pop() : undefined;
    }
  }

  function endPackage(status: 'passed' | 'failed' | 'skipped', seconds: number | undefined): void {
    const action = status === 'passed' ? 'pass' : status === 'failed' ? 'fail' : 'skip';
    emit({ action, package: '', elapsedSeconds: seconds });
    reports = [];
    open = new Set();
    ended = new Set();
    needsMark = false;
    isVerbose = false;
    build = undefined;
  }

  function send(action: GoAction, test: string): void {
    emit({ action, package: '', test });
  }

  function output(text: string): void {
    emit({ action: 'output', package: '', ...(speaker === '' ? {} : { test: speaker }), output: text });
  }

  return {
    line,
    end() {
      flush(0);
    },
  };
}

function actionOf(marker: Marker): GoAction {
  return marker.word === 'PASS' ? 'pass' : marker.word === 'FAIL' ? 'fail' : marker.word === 'SKIP' ? 'skip' : 'bench';
}

/** How many times four spaces a line begins with. */
function indentOf(text: string): number {
  let index = 0;
  while (text[index] === ' ') index += 1;
  return Math.floor(index / 4);
}
