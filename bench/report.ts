/**
 * What a report costs to write and to read: `node --import tsx bench/report.ts [megabytes…]`, default 100.
 * Prints one JSON object a case. Lines are klog lines with a random hash each, which packs badly, from 200 tests of which
 * every second one runs beside another. Reading is measured in Chromium from `file://` when `/usr/bin/chromium` is there.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { createTemporaryFolder } from '../src/files.js';
import { openReport } from '../src/report/index.js';
import type { ReadEvent } from '../src/results/events.js';
import type { RunResult, TestResult } from '../src/results/model.js';
import { createRandom } from '../src/flake/statistics/random.js';

const TESTS_OF_LOG = 200;
const PACKAGE = 'example.com/big/e2e';

function* bigLog(bytes: number): Generator<ReadEvent> {
  const next = createRandom(42);
  const start = Date.UTC(2026, 8, 14, 9, 30);
  let written = 0;
  let line = 0;
  const total = Math.ceil(bytes / 100);
  while (written < bytes) {
    const block = Math.min(TESTS_OF_LOG - 1, Math.floor((line / total) * TESTS_OF_LOG));
    const test = block % 2 === 1 && line % 3 === 0 ? block - 1 : block;
    const time = new Date(start + line * 7).toISOString();
    const hash = (Math.floor(next() * 0x1_0000_0000) * 0x10_0000 + Math.floor(next() * 0x10_0000))
      .toString(16)
      .padStart(13, '0');
    const letter = line % 911 === 5 ? 'E' : 'I';
    const text = `${letter}0914 ${time.slice(11, 23)}123    2201 reconciler.go:${String(200 + (line % 50))}] "Volume attached" pod="ns-${hash.slice(0, 5)}/web-${hash}"`;
    yield { type: 'output', test: { package: PACKAGE, name: `TestBig${String(test)}` }, text };
    written += text.length + 1;
    line += 1;
  }
}

function runOf(tests: readonly TestResult[]): RunResult {
  const at = '2026-09-14T09:30:00.000Z';
  return {
    runId: 'bench',
    toolVersion: '0.0.0',
    startedAt: at,
    endedAt: at,
    source: {},
    environments: [{ name: 'local' }],
    cells: [
      {
        id: 'local.e2e',
        environment: 'local',
        suite: 'e2e',
        attempts: [{ attempt: 1, command: ['go', 'test'], startedAt: at, exitCode: 1 }],
        tests,
        packages: [],
        repairs: [],
        status: 'failed',
      },
    ],
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
    exitCode: 1,
  };
}

function testNamed(name: string, failed: boolean): TestResult {
  return {
    id: { package: PACKAGE, name },
    attempts: [
      {
        attempt: 1,
        cellAttempt: 1,
        status: failed ? 'failed' : 'passed',
        durationMs: 1_500,
        ...(failed
          ? { failure: { message: `big_test.go:7: ${name}: expected 1, got 2`, kind: 'assertion' as const } }
          : {}),
      },
    ],
    status: failed ? 'failed' : 'passed',
    flaky: false,
  };
}

async function bytesBelow(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true });
  const sizes = await Promise.all(names.map(async (name) => stat(join(folder, name))));
  return sizes.reduce((sum, one) => sum + (one.isFile() ? one.size : 0), 0);
}

async function peakMiB(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}

interface Case {
  readonly name: string;
  readonly events: () => Iterable<ReadEvent>;
  readonly tests: readonly TestResult[];
}

async function measure({ name, events, tests }: Case): Promise<void> {
  await using folder = await createTemporaryFolder('mk-ci-bench-');
  const htmlPath = join(folder.path, 'report.html');
  const beforeMiB = Math.round(process.memoryUsage.rss() / 1_048_576);
  const began = performance.now();
  await using report = await openReport({ htmlPath, year: 2026 });
  const log = report.log({ cell: 'local.e2e', attempt: 1 });
  let characters = 0;
  let sinceDrain = 0;
  for (const event of events()) {
    log.add(event);
    if (event.type === 'output') characters += event.text.length + (event.partial === true ? 0 : 1);
    if ((sinceDrain += 1) === 500) {
      await log.drain();
      sinceDrain = 0;
    }
  }
  const summary = await log.end();
  const finished = await report.finish(runOf(tests));
  const seconds = (performance.now() - began) / 1_000;
  const result = {
    case: name,
    textMB: round(characters / 1e6),
    lines: summary.lines,
    seconds: round(seconds),
    outputMB: round((await bytesBelow(folder.path)) / 1e6),
    singleFile: finished.singleFile,
    htmlMB: round((await stat(htmlPath)).size / 1e6),
    memoryBeforeMiB: beforeMiB,
    memoryPeakMiB: await peakMiB(),
  };
  // Loaded only now: it is large and would count as memory of the writer.
  const { measurePage } = await import('../integration/support/chromium.js');
  const page = await measurePage(htmlPath, {
    test: tests.find(({ status }) => status === 'failed')?.id.name,
    lines: summary.lines,
  });
  process.stdout.write(`${JSON.stringify({ ...result, ...(page === undefined ? {} : { page }) })}\n`);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

async function main(): Promise<void> {
  const arguments_ = process.argv.slice(2);
  const bigTests = Array.from({ length: TESTS_OF_LOG }, (_, index) =>
    testNamed(`TestBig${String(index)}`, index % 17 === 3),
  );
  for (const megabytes of arguments_.length === 0 ? [100] : arguments_.filter((one) => /^\d+$/.test(one)).map(Number)) {
    await measure({ name: `${String(megabytes)} MB`, events: () => bigLog(megabytes * 1e6), tests: bigTests });
  }
  if (arguments_.includes('tests')) {
    const many = Array.from({ length: 50_000 }, (_, index) =>
      testNamed(`TestMany${String(index % 500)}/case_${String(index)}`, index % 997 === 1),
    );
    await measure({
      name: '50,000 tests',
      events: function* () {
        for (const { id } of many) yield { type: 'output', test: id, text: `    many_test.go:3: ${id.name} ran` };
      },
      tests: many,
    });
  }
  if (arguments_.includes('line')) {
    await measure({
      name: 'one 50 MB line',
      events: function* () {
        const piece = 'abcdefghijklmno '.repeat(4_096);
        for (let index = 0; index < 763; index += 1) {
          yield { type: 'output', test: { package: PACKAGE, name: 'TestBig3' }, text: piece, partial: index < 762 };
        }
        yield { type: 'output', test: { package: PACKAGE, name: 'TestBig3' }, text: '    x_test.go:1: unexpected end' };
      },
      tests: [testNamed('TestBig3', true)],
    });
  }
}

void main();
