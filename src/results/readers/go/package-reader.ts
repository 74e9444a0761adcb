import type { Failure, Status, TestId } from '../../model.js';
import { attributeLine, type Attribution } from './attribution.js';
import { buildFailureOf } from './build.js';
import { cleanName, outputEvent, type GoContext } from './context.js';
import type { GoEvent } from './event.js';
import { createFailureLines, detach, type FailureLines } from './failure-lines.js';
import {
  findMarkers,
  markerDepth,
  parseBenchmarkLine,
  parseFrame,
  parsePackageLine,
  statusOfMarker,
  type Marker,
  type PackageLine,
} from './frames.js';
import type { GoTest } from './go-test.js';
import { createLineJoiner } from './lines.js';

/** Follows the tests of one package, in as many processes as it is run in. */
export interface PackageReader {
  event(event: GoEvent): void;
  /** The build or setup of the package failed, told in plain text; a later event of the package may say so again. */
  fails(line: PackageLine): void;
  end(): void;
}

/** How far one process of the package has come. */
interface Process {
  /** Anything but an end was seen. */
  isRunning: boolean;
  /** A test failed: reason enough for the package. */
  hasBadTest: boolean;
  death: Failure | undefined;
  /** Names below `running tests:` of a time-out. */
  readonly timedOut: Set<string>;
  /** Between `running tests:` and the empty line after the list. */
  isListing: boolean;
  /** The line in which go test sums the package up. */
  line: PackageLine | undefined;
  /** Lines outside tests. */
  lines: FailureLines;
  /** Status of a lone `PASS` or `FAIL`, all that a test binary by itself says of the whole. */
  lone: 'passed' | 'failed' | undefined;
  hasOutput: boolean;
}

const RUNNING_TEST = /^\s+(\S+) \([^)]*\)$/;

export function createPackageReader(givenName: string, context: GoContext): PackageReader {
  const { emit, options } = context;
  const packageName = cleanName(givenName);
  const tests = new Map<string, GoTest>();
  const open = new Set<GoTest>();
  const attribution: Attribution = { reports: [], spoken: undefined, last: undefined };
  let current = newProcess();
  let lastAt: string | undefined;
  let hasEnded = false;
  let speaker: GoTest | undefined;
  let outputType: string | undefined;
  const joiner = createLineJoiner((line, partial) => {
    takeLine(speaker, line, partial);
  });

  function event(e: GoEvent): void {
    if (e.at !== undefined) lastAt = e.at;
    const name = e.test === undefined || e.test === '' ? undefined : cleanName(e.test);
    if (e.action === 'output') {
      takeOutput(name, e);
      return;
    }
    settle();
    switch (e.action) {
      case 'start':
        if (current.isRunning) endPackage(undefined, undefined, undefined);
        current.isRunning = true;
        return;
      case 'run':
        if (name !== undefined) startTest(name);
        return;
      case 'pause':
      case 'cont':
        if (name !== undefined) mention(name).isPaused = e.action === 'pause';
        return;
      case 'attr':
        if (name !== undefined) attribute(mention(name), e.key ?? '', e.value ?? '');
        return;
      case 'artifacts':
        if (name !== undefined) attribute(mention(name), 'artifacts', e.path ?? '');
        return;
      case 'pass':
      case 'bench':
      case 'skip':
      case 'fail': {
        const status = e.action === 'fail' ? 'failed' : e.action === 'skip' ? 'skipped' : 'passed';
        if (name === undefined) {
          endPackage(status, e.elapsedSeconds, e.failedBuild);
        } else if (status === 'failed' && current.line?.status === 'failed' && mention(name).isOpen) {
          // The go command gave the end of the package to the test that printed last (Go before 1.14).
          endTest(name, status, undefined);
          context.repair({
            kind: 'package-result-on-test',
            message: 'the end of the package came as that of a test',
            test: idOf(name),
          });
          endPackage(status, e.elapsedSeconds, e.failedBuild);
        } else {
          endTest(name, status, e.elapsedSeconds);
        }
        return;
      }
      case 'build-output':
      case 'build-fail':
        return;
      default:
        e.action satisfies never;
    }
  }

  function takeOutput(name: string | undefined, e: GoEvent): void {
    const output = e.output ?? '';
    const test = name === undefined ? undefined : mention(name);
    if (test === undefined) current.isRunning = true;
    // A chunk of somebody else, or the frame that follows, ends a line that had no line end.
    if (joiner.pending > 0 && (test !== speaker || output.startsWith('=== ') || output.startsWith('--- ')))
      joiner.flush();
    speaker = test;
    outputType = e.outputType;
    joiner.write(output);
  }

  /** Before any event that is not output: lines in progress end, what was reported together is done. */
  function settle(): void {
    joiner.flush();
    attribution.reports.length = 0;
    attribution.spoken = undefined;
    attribution.last = undefined;
  }

  function takeLine(test: GoTest | undefined, line: string, partial: boolean): void {
    if (takeFrame(test, line)) return;
    const cutAt = takeMarkers(test, line);
    if (cutAt !== undefined) {
      const before = line.slice(0, cutAt);
      if (before.trim() !== '') say(test, before, false);
      return;
    }
    const isSummary = takeSummary(line, test);
    if (!isSummary && line.trim() !== '') current.hasOutput = true;
    const benchmark = parseBenchmarkLine(line);
    if (benchmark !== undefined) takeBenchmark(benchmark);
    say(test, line, partial, isSummary);
  }

  /** @returns whether the line is framing of go test and no output */
  function takeFrame(test: GoTest | undefined, line: string): boolean {
    const frame = parseFrame(line);
    if (frame === undefined) return false;
    if (frame.test === '' || frame.test === test?.id.name) return true;
    const named = tests.get(cleanName(frame.test));
    if (named?.isOpen !== true) return false;
    if (frame.word === 'NAME' || frame.word === 'CONT') attribution.spoken = named;
    return true;
  }

  /** @returns where the text before the first marker ends, or `undefined` when the line has no marker that counts */
  function takeMarkers(test: GoTest | undefined, line: string): number | undefined {
    let cutAt: number | undefined;
    for (const marker of findMarkers(line)) {
      const named = tests.get(cleanName(marker.test));
      // Anything may print such a line: only a test that runs can end.
      if (named === undefined || (!named.isOpen && named !== test)) continue;
      const depth = markerDepth(line, marker);
      if (depth !== undefined) {
        attribution.reports.length = Math.min(attribution.reports.length, depth);
        if (attribution.reports.length === depth) attribution.reports.push(named);
        attribution.last = undefined;
      }
      if (named.isOpen) noteResult(named, marker, depth === undefined || named !== test);
      cutAt ??= marker.index;
    }
    return cutAt;
  }

  function noteResult(test: GoTest, marker: Marker, isGlued: boolean): void {
    test.seen = { status: statusOfMarker(marker.word), seconds: marker.seconds, isGlued };
  }

  function takeBenchmark(name: string): void {
    const test = tests.get(name) ?? tests.get(name.replace(/-\d+$/, ''));
    if (test?.isOpen === true && test.seen === undefined)
      test.seen = { status: 'passed', seconds: undefined, isGlued: false };
  }

  /** @returns whether the line only says how the package ended */
  function takeSummary(line: string, test: GoTest | undefined): boolean {
    if (line === 'PASS' || line === 'FAIL') {
      if (test === undefined) current.lone = line === 'PASS' ? 'passed' : 'failed';
      return test === undefined;
    }
    const summary = parsePackageLine(line);
    if (summary !== undefined && (test === undefined || packageName === '' || summary.package === packageName)) {
      current.line = summary;
      return true;
    }
    if (current.isListing) {
      const name = RUNNING_TEST.exec(line)?.[1];
      if (name !== undefined) current.timedOut.add(name);
      else if (!/^\s*running tests:$/.test(line)) current.isListing = false;
    } else if (line.endsWith('running tests:')) {
      current.isListing = true;
    }
    return false;
  }

  /** Gives a line to the test it belongs to, which need not be the one that the event names. */
  function say(test: GoTest | undefined, line: string, partial: boolean, isSummary = false): void {
    const target =
      test === undefined && attribution.spoken === undefined
        ? undefined
        : attributeLine(attribution, tests, test, line);
    if (target !== test) {
      context.repair({
        kind: 'reattributed-output',
        message: 'lines that came under another test',
        ...(target === undefined ? {} : { test: target.id }),
      });
    }
    if (!isSummary) {
      const lines = target?.isOpen === true ? (target.lines ??= createFailureLines()) : current.lines;
      lines.add(line, outputType === 'error' || outputType === 'error-continue');
    }
    emit(outputEvent({ test: target?.id, package: packageName }, line, lastAt, partial));
  }

  function idOf(name: string): TestId {
    return { package: packageName, name };
  }

  /** The test of this name; one that was never heard of has started unseen (the head of the stream is lost). */
  function mention(name: string): GoTest {
    return tests.get(name) ?? startTest(name, true);
  }

  function startTest(name: string, isImplied = false): GoTest {
    let test = tests.get(name);
    if (test === undefined) {
      test = { id: idOf(detach(name)), isOpen: false, isImplied, isPaused: false, seen: undefined, lines: undefined };
      tests.set(test.id.name, test);
    } else if (test.isOpen) {
      const wasImplied = test.isImplied;
      test.isImplied = false;
      if (wasImplied) return test;
      finish(test);
    }
    test.isOpen = true;
    test.isPaused = false;
    open.add(test);
    current.isRunning = true;
    current.hasOutput = true;
    // A benchmark with benchmarks below it prints no result of its own.
    if (name.startsWith('Benchmark') && name.includes('/')) {
      const parent = tests.get(name.slice(0, name.lastIndexOf('/')));
      if (parent?.isOpen === true) parent.seen ??= { status: 'passed', seconds: undefined, isGlued: false };
    }
    emit({ type: 'test-started', test: test.id, ...(lastAt === undefined ? {} : { at: lastAt }) });
    return test;
  }

  function attribute(test: GoTest, key: string, value: string): void {
    emit({ type: 'attribute', test: test.id, key, value });
  }

  function reasonOf(test: GoTest): Failure | undefined {
    const own = test.lines?.failure();
    if (own?.message.startsWith('race detected during execution') !== true) return own;
    // Without -v the race is printed before anything tells whose it is.
    const outside = current.lines.failure();
    return outside?.kind === 'race' ? outside : own;
  }

  function endTest(name: string, status: Status, seconds: number | undefined, given?: Failure): void {
    const test = mention(name);
    const failure = status === 'passed' || status === 'skipped' ? undefined : (given ?? reasonOf(test));
    const skipReason = status === 'skipped' ? test.lines?.lastLog() : undefined;
    const death = test.lines?.death();
    if (death !== undefined) current.death ??= death;
    if (status === 'failed') current.hasBadTest = true;
    const durationMs = seconds ?? test.seen?.seconds;
    emit({
      type: 'test-ended',
      test: test.id,
      status,
      ...(lastAt === undefined ? {} : { at: lastAt }),
      ...(durationMs === undefined || !(durationMs >= 0) ? {} : { durationMs: Math.round(durationMs * 1e6) / 1e3 }),
      ...(failure === undefined ? {} : { failure }),
      ...(skipReason === undefined ? {} : { skipReason }),
    });
    test.isOpen = false;
    test.seen = undefined;
    test.lines = undefined;
    open.delete(test);
  }

  /** Ends a test for which no end came: by what its text said, else as unfinished. */
  function finish(test: GoTest): void {
    const { id, seen } = test;
    if (seen !== undefined) {
      if (seen.isGlued) {
        context.repair({ kind: 'glued-marker', message: 'the result was found in the text of the log', test: id });
      } else if (!id.name.startsWith('Benchmark')) {
        context.repair({
          kind: 'missing-result',
          message: 'the result was found in the log, no event told it',
          test: id,
        });
      }
      endTest(id.name, seen.status, seen.seconds);
      return;
    }
    const own = test.lines?.death();
    const death = own ?? current.death;
    const timedOut = options.timedOut === true || current.timedOut.has(id.name) || hasTimedOutChild(id.name);
    const ended = current.line !== undefined || death !== undefined;
    endTest(id.name, timedOut ? 'timedout' : 'notrun', undefined, {
      message:
        own?.message ??
        (timedOut
          ? (death?.message ?? 'was running when the time limit struck')
          : death === undefined
            ? ended
              ? 'the test process ended before this test did'
              : 'the output ends before this test does'
            : `did not finish: ${death.message}`),
      ...(own?.text === undefined ? {} : { text: own.text }),
      kind: timedOut ? 'timeout' : (own?.kind ?? (death === undefined && ended ? 'exit' : 'other')),
      ...(own?.file === undefined ? {} : { file: own.file }),
      ...(own?.line === undefined ? {} : { line: own.line }),
    });
  }

  function hasTimedOutChild(name: string): boolean {
    for (const running of current.timedOut) if (running.startsWith(`${name}/`)) return true;
    return false;
  }

  /** Ends the process: tests still open, then the package. Without a status the stream has been cut off. */
  function endPackage(
    status: 'passed' | 'failed' | 'skipped' | undefined,
    seconds: number | undefined,
    failedBuild: string | undefined,
  ): void {
    for (const test of open) {
      const death = test.lines?.death();
      if (death !== undefined) current.death ??= death;
    }
    current.death ??= current.lines.death();
    // A time-out that names nobody (Go before 1.20) leaves all that ran.
    if (current.death?.kind === 'timeout' && current.timedOut.size === 0) {
      for (const test of open) if (!test.isPaused) current.timedOut.add(test.id.name);
    }
    // Without -v a time-out is the first that is heard of a test.
    for (const name of current.timedOut) if (!tests.has(name)) startTest(name);
    for (const test of [...open]) finish(test);
    const known = status ?? current.line?.status ?? current.lone;
    const result = known ?? (options.timedOut === true ? 'timedout' : 'notrun');
    const elapsed = seconds ?? current.line?.seconds;
    const failure = result === 'failed' || result === 'timedout' ? packageFailure(failedBuild) : undefined;
    const name = packageName === '' ? cleanName(current.line?.package ?? '') : packageName;
    if (name !== packageName) {
      // The events name no package, its last line does.
      emit({ type: 'package-named', package: name });
      tests.clear();
    }
    emit({
      type: 'package-ended',
      package: name,
      status: result,
      ...(elapsed === undefined || !(elapsed >= 0) ? {} : { durationMs: Math.round(elapsed * 1e6) / 1e3 }),
      ...(failure === undefined ? {} : { failure }),
    });
    current = newProcess();
    hasEnded = true;
  }

  /** Why the package failed, when its tests alone do not say so. */
  function packageFailure(failedBuild: string | undefined): Failure | undefined {
    const kind = current.line?.failed;
    if (failedBuild !== undefined || kind !== undefined) {
      const failure =
        context.buildFailure(failedBuild ?? (packageName || (current.line?.package ?? ''))) ?? buildFailureOf([], kind);
      return kind === 'setup' ? { ...failure, kind } : failure;
    }
    if (current.death !== undefined) return current.death;
    if (current.hasBadTest) return undefined;
    return current.lines.failure() ?? { message: 'the test process failed without saying why', kind: 'exit' };
  }

  return {
    event,
    fails(line) {
      settle();
      current.line = line;
      endPackage('failed', undefined, undefined);
    },
    end() {
      settle();
      if (!current.isRunning && open.size === 0) return;
      // `go test` of several packages closes with one more FAIL for all of them.
      if (current.lone !== undefined && !current.hasOutput && hasEnded) return;
      if (open.size > 0 || (current.line === undefined && current.lone === undefined)) {
        context.repair({ kind: 'truncated', message: 'the output ends before its tests do' });
      }
      endPackage(undefined, undefined, undefined);
    },
  };
}

function newProcess(): Process {
  return {
    isRunning: false,
    hasBadTest: false,
    death: undefined,
    timedOut: new Set(),
    isListing: false,
    line: undefined,
    lines: createFailureLines(),
    lone: undefined,
    hasOutput: false,
  };
}
