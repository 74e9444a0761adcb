import type { Failure } from '../../model.js';

/**
 * Listens to the lines of one test (or of a package outside its tests) and keeps those that can say why it failed: the
 * first panic with its goroutines, the first data race, log lines that read like failures, the last lines. Bounded: at
 * most about 100 KiB, however long the log.
 */
export interface FailureLines {
  add(line: string, isError?: boolean): void;
  /** The best reason among the lines, or `undefined` when nothing was said. */
  failure(): Failure | undefined;
  /** The panic, time-out or fatal error among the lines: it ended the whole process. */
  death(): Failure | undefined;
  /** Text of the last log line, the reason when the test was skipped. */
  lastLog(): string | undefined;
}

const MAX_MESSAGE = 1000;
const MAX_BLOCK = 32 * 1024;
const MAX_BLOCKS = 24;
const MAX_LINE = 4096;
const TAIL_LINES = 24;

const DEATH = /^\s*(?:panic: |fatal error: |SIG[A-Z]+: )/;
const LOG = /^\s+(?:\S+: )?([^\s:]+\.(?:go|golang|s)):(\d+): ?(.*)$/;
/** The same behind text that had no line end. */
const GLUED_LOG = / {4}([^\s:]+\.go):(\d+): (.*)$/;
const READS_LIKE_FAILURE =
  /fail|error|unexpected|expect|\bwant|\bgot\b|panic|timeout|timed out|deadline|mismatch|invalid|cannot|can't|unable|missing|not (?:found|equal|ready)|refused|non-zero|differ|should/i;
const FRAME_PLACE = /^\s+(\S+\.(?:go|s)):(\d+)(?: \+0x|$)/;

interface Block {
  readonly lines: string[];
  size: number;
}

export function createFailureLines(): FailureLines {
  let death: Block | undefined;
  let race: Block | undefined;
  let inRace = false;
  const logs: Block[] = [];
  let log: Block | undefined;
  let lastLog: Block | undefined;
  let errors: Block[] | undefined;
  const tail: string[] = [];

  function add(raw: string, isError = false): void {
    const line = raw.length > MAX_LINE ? `${raw.slice(0, MAX_LINE)} … (${String(raw.length)} characters)` : raw;
    if (death !== undefined) {
      append(death, line);
      return;
    }
    if (line !== '') {
      tail.push(line);
      if (tail.length > 2 * TAIL_LINES) tail.splice(0, TAIL_LINES);
    }
    if (mayBeDeath(line) && DEATH.test(line)) {
      death = block(line);
      return;
    }
    if (line === 'WARNING: DATA RACE' && race === undefined) {
      race = block(line);
      inRace = true;
      return;
    }
    if (inRace && race !== undefined) {
      if (line.startsWith('==================')) inRace = false;
      else append(race, line);
      return;
    }
    if (isError) {
      errors ??= [];
      if (errors.length < MAX_BLOCKS) errors.push(block(line));
    }
    addLog(line);
  }

  function addLog(line: string): void {
    if (line.includes('.go') && parseLog(line) !== null) {
      log = block(line);
      lastLog = log;
      if (logs.length < MAX_BLOCKS && READS_LIKE_FAILURE.test(line)) logs.push(log);
    } else if (log !== undefined && /^\s{4}/.test(line)) {
      // Continuation of a log of several lines; one that turns out to tell of a failure joins late.
      append(log, line);
      if (logs.at(-1) !== log && logs.length < MAX_BLOCKS && READS_LIKE_FAILURE.test(line)) logs.push(log);
    } else {
      log = undefined;
    }
  }

  function failure(): Failure | undefined {
    if (death !== undefined) return deathFailure(death);
    if (race !== undefined) return raceFailure(race);
    if (errors !== undefined) return logFailure(errors);
    if (logs.length > 0) return logFailure(logs);
    if (lastLog !== undefined) return logFailure([lastLog]);
    return tailFailure(tail.slice(-TAIL_LINES));
  }

  return {
    add,
    failure,
    death: () => (death === undefined ? undefined : deathFailure(death)),
    lastLog: () => {
      const first = lastLog?.lines[0];
      const text = first === undefined ? undefined : parseLog(first)?.[3];
      return text === undefined || text === '' ? undefined : cut(text);
    },
  };
}

/** File, line and text of a log line. */
function parseLog(line: string): RegExpExecArray | null {
  return LOG.exec(line) ?? GLUED_LOG.exec(line);
}

function mayBeDeath(line: string): boolean {
  return line.includes('panic: ') || line.includes('fatal error: ') || line.startsWith('SIG');
}

function block(line: string): Block {
  const text = detach(line);
  return { lines: [text], size: text.length };
}

function append(target: Block, line: string): void {
  if (target.size > MAX_BLOCK) return;
  target.size += line.length + 1;
  target.lines.push(target.size > MAX_BLOCK ? '… (cut)' : detach(line));
}

function deathFailure({ lines }: Block): Failure {
  const [first = ''] = lines;
  const timedOut = first.includes('test timed out after');
  // The second line of a recovered panic repeats the first.
  const message = first.trim().replace(/ \[recovered(?:, repanicked)?\]$/, '');
  return {
    message: cut(message),
    text: (timedOut ? lines : firstGoroutine(lines)).join('\n').trimEnd(),
    kind: timedOut ? 'timeout' : 'panic',
    ...(timedOut ? {} : placeInStack(lines)),
  };
}

/** Up to the end of the goroutine that panicked; the others only waited. */
function firstGoroutine(lines: readonly string[]): readonly string[] {
  const first = lines.findIndex((line) => line.startsWith('goroutine '));
  if (first < 0) return lines;
  const next = lines.findIndex((line, index) => index > first && line === '');
  return next < 0 ? lines : lines.slice(0, next);
}

function raceFailure({ lines }: Block): Failure {
  return { message: 'data race detected', text: lines.join('\n').trimEnd(), kind: 'race', ...placeInStack(lines) };
}

/** First frame of a stack that is neither the runtime nor the testing package, a test file before others. */
function placeInStack(lines: readonly string[]): { readonly file?: string; readonly line?: number } {
  let best: { readonly file: string; readonly line: number } | undefined;
  for (const text of lines) {
    const match = FRAME_PLACE.exec(text);
    const file = match?.[1];
    if (
      file === undefined ||
      /\/src\/(?:runtime|testing|internal|os|sync|time|net|reflect)\/|^_testmain\.go/.test(file)
    )
      continue;
    const place = { file, line: Number(match?.[2]) };
    if (file.endsWith('_test.go')) return place;
    best ??= place;
  }
  return best ?? {};
}

function logFailure(blocks: readonly Block[]): Failure {
  const text = blocks.map((part) => part.lines.join('\n')).join('\n');
  const [lead] = blocks;
  const lines = lead?.lines ?? [];
  const match = parseLog(lines[0] ?? '');
  const testify = testifyReason(lines);
  const own = match?.[3]?.trim() ?? lines[0]?.trim() ?? '';
  const message =
    testify?.message ??
    (own === '' ? (lines.find((line, index) => index > 0 && line.trim() !== '') ?? '').trim() : own);
  return {
    message: cut(message === '' ? 'failed without a message' : message),
    text: middleCut(text),
    kind: 'assertion',
    ...(testify?.place ?? (match?.[1] === undefined ? {} : { file: match[1], line: Number(match[2]) })),
  };
}

interface TestifyReason {
  readonly message: string;
  readonly place: { readonly file: string; readonly line: number } | undefined;
}

/** Testify's block: `Error Trace:`, `Error:`, `Messages:`, each followed by a tab and continued on lines with tabs. */
function testifyReason(lines: readonly string[]): TestifyReason | undefined {
  const sections = new Map<string, string[]>();
  let section: string[] | undefined;
  for (const line of lines) {
    const match = /^\s+(Error Trace|Error|Messages|Test):\s*\t(.*)$/.exec(line);
    if (match?.[1] !== undefined) {
      section = [match[2] ?? ''];
      sections.set(match[1], section);
    } else if (section !== undefined) {
      const text = line.trim();
      if (text !== '') section.push(text);
    }
  }
  const error = sections.get('Error');
  if (error === undefined) return undefined;
  const parts = [
    error
      .slice(0, 3)
      .map((line) => line.trim())
      .join(' '),
    ...(sections.get('Messages') ?? []).slice(0, 1),
  ];
  const trace = /^(\S+\.go):(\d+)$/.exec((sections.get('Error Trace') ?? [])[0]?.trim() ?? '');
  return {
    message: parts.map((part) => part.trim()).join(': '),
    place: trace?.[1] === undefined ? undefined : { file: trace[1], line: Number(trace[2]) },
  };
}

function tailFailure(lines: readonly string[]): Failure | undefined {
  const said = lines.filter((line) => line.trim() !== '');
  if (said.length === 0) return undefined;
  // Examples say `got:` and `want:`.
  const got = said.indexOf('got:');
  const lead = got >= 0 ? said.slice(got) : said;
  const message =
    got >= 0 ? lead.slice(0, 4).join(' ') : (said.find((line) => READS_LIKE_FAILURE.test(line)) ?? said.at(-1) ?? '');
  return { message: cut(message.trim()), text: middleCut(lead.join('\n')), kind: got >= 0 ? 'assertion' : 'other' };
}

function cut(text: string): string {
  return text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE - 2)} …` : text;
}

function middleCut(text: string): string {
  const limit = 64 * 1024 - 100;
  if (text.length <= limit) return text;
  const half = limit / 2;
  return `${text.slice(0, half)}\n… (${String(text.length - limit)} characters left out) …\n${text.slice(-half)}`;
}

/**
 * A copy that does not keep the piece of input alive from which it was cut: V8 makes a substring a view of its parent.
 */
export function detach(text: string): string {
  return text.length < 13 ? text : Buffer.from(text, 'utf16le').toString('utf16le');
}
