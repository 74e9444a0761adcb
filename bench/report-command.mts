/**
 * What `mk-ci report FILE --html PAGE` costs, as a user sees it: the built command, a file of `go test -json` on disk, the page
 * and its logs written. Prints one JSON object a size.
 *
 *     npm run build && npx tsx bench/report-command.mts [case…]      default 100
 *
 * A case is a number of megabytes (1000 for the limit of memory), `tests` (50,000 of them), `line` (one line of 50 MB) or
 * `name` (one name of 10 MB). Lines are klog lines with a random hash each, which packs badly; 2,000 lines a test, a failure
 * in each 17th. Goals (DESIGN section 11): 100 MB in at most 4 s, 150 MB of memory, 25 MB of output; memory at 1 GB at most 150 MB.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { createTemporaryFolder } from '../src/files.js';
import { createRandom } from '../src/flake/statistics/random.js';

const PACKAGE = 'example.com/big/e2e';
const CLI = join(import.meta.dirname, '../dist/cli.js');

function line(atMs: number, fields: object): string {
  return `${JSON.stringify({ Time: new Date(atMs).toISOString(), ...fields, Package: PACKAGE })}\n`;
}

const START_MS = Date.UTC(2026, 8, 14, 9, 30);

function* goTestJson(bytes: number): Generator<string> {
  const next = createRandom(42);
  let atMs = START_MS;
  for (let size = 0, number = 0; size < bytes; number += 1) {
    const Test = `TestBig/parallel/Case${String(number)}`;
    const failed = number % 17 === 3;
    let text = line(atMs, { Action: 'run', Test });
    for (let row = 0; row < 2_000; row += 1) {
      atMs += 7;
      const hash = Math.floor(next() * 2 ** 52).toString(16);
      const clock = new Date(atMs).toISOString().slice(11, 23);
      text += line(atMs, {
        Action: 'output',
        Test,
        Output: `${row % 911 === 5 ? 'E' : 'I'}0914 ${clock}123    2201 reconciler.go:${String(200 + (row % 50))}] "Volume attached" pod="ns-${hash.slice(0, 5)}/web-${hash}"\n`,
      });
    }
    if (failed) text += line(atMs, { Action: 'output', Test, Output: '    big_test.go:7: expected 1, got 2\n' });
    text += line(atMs, { Action: failed ? 'fail' : 'pass', Test, Elapsed: 14 });
    size += text.length;
    yield text;
  }
  yield line(atMs, { Action: 'fail', Elapsed: 900 });
}

function* manyTests(): Generator<string> {
  for (let index = 0; index < 50_000; index += 1) {
    const Test = `TestMany${String(index % 500)}/case_${String(index)}`;
    yield (
      line(START_MS, { Action: 'run', Test }) +
      line(START_MS, { Action: 'output', Test, Output: `    many_test.go:3: ${Test} ran\n` }) +
      line(START_MS, { Action: index % 997 === 1 ? 'fail' : 'pass', Test, Elapsed: 0.01 })
    );
  }
}

/** Text without a line's end, as the pieces of one line that test2json makes. */
function* longLine(): Generator<string> {
  const Test = 'TestLong';
  yield line(START_MS, { Action: 'run', Test });
  for (let piece = 0; piece < 763; piece += 1)
    yield line(START_MS, { Action: 'output', Test, Output: 'abcdefghijklmno '.repeat(4_096) });
  yield line(START_MS, { Action: 'output', Test, Output: '\n    x_test.go:1: unexpected end\n' });
  yield line(START_MS, { Action: 'fail', Test, Elapsed: 1 });
}

function* longName(): Generator<string> {
  const Test = `Test${'x'.repeat(10_000_000)}`;
  yield line(START_MS, { Action: 'run', Test });
  yield line(START_MS, { Action: 'fail', Test, Elapsed: 1 });
}

const CASES: Readonly<Record<string, () => Iterable<string>>> = {
  tests: manyTests,
  line: longLine,
  name: longName,
};

async function bytesBelow(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true });
  const sizes = await Promise.all(names.map(async (name) => stat(join(folder, name))));
  return sizes.reduce((sum, one) => sum + (one.isFile() ? one.size : 0), 0);
}

async function measure(name: string, lines: Iterable<string>): Promise<void> {
  await using folder = await createTemporaryFolder('mk-ci-bench-');
  const input = join(folder.path, 'input.jsonl');
  const file = createWriteStream(input);
  for (const text of lines) if (!file.write(text)) await once(file, 'drain');
  file.end();
  await once(file, 'close');
  const out = join(folder.path, 'out');
  const began = performance.now();
  const child = spawn(process.execPath, [CLI, 'report', input, '--html', join(out, 'report.html'), '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
  // The peak and the processor time are asked for while the process lives: afterwards the kernel has forgotten them.
  let peakKiB = 0;
  let cpuTicks = 0;
  const watch = setInterval(() => {
    void readFile(`/proc/${String(child.pid)}/status`, 'utf8').then(
      (status) => (peakKiB = Math.max(peakKiB, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0))),
      () => undefined,
    );
    void readFile(`/proc/${String(child.pid)}/stat`, 'utf8').then(
      (line) => {
        const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
        cpuTicks = Math.max(cpuTicks, Number(fields[11]) + Number(fields[12]));
      },
      () => undefined,
    );
  }, 50);
  const [code] = (await once(child, 'close')) as [number];
  clearInterval(watch);
  const seconds = (performance.now() - began) / 1_000;
  const { total } = JSON.parse(printed) as { total: { tests: number; counts: Record<string, number> } };
  console.log(
    JSON.stringify({
      case: name,
      megabytes: Math.round((await stat(input)).size / 1e6),
      exitCode: code,
      seconds: round(seconds),
      // What is left to compare by on a busy host.
      cpuSeconds: round(cpuTicks / 100),
      peakMB: Math.round((peakKiB * 1_024) / 1e6),
      outputMB: round((await bytesBelow(out)) / 1e6),
      tests: total.tests,
      failed: total.counts['failed'],
    }),
  );
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

const names = process.argv.slice(2);
for (const name of names.length === 0 ? ['100'] : names)
  await measure(name, (CASES[name] ?? (() => goTestJson(Number(name) * 1e6)))());
