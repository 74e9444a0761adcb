/**
 * Reads generated outputs through `readInput`, as `mk-ci report` does, and prints time and memory as JSON.
 *
 *     npx tsx bench/readers.mts [--megabytes 100] [--case go-json]
 *
 * Each case runs in a process of its own, so that its peak memory is its own. Figures are of this host; the goals are in
 * DESIGN.md section 11: 100 MB of go test JSON in at most 4 s and 150 MB.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { addReadEvent, checkConservation, createCellState, summarizeCell } from '../src/results/accumulate.js';
import { readInput } from '../src/results/input/index.js';

const { values } = parseArgs({ options: { megabytes: { type: 'string', default: '100' }, case: { type: 'string' } } });
const bytes = Number(values.megabytes) * 1_000_000;

type Source = (limit: number) => Generator<string>;

const at = '2026-01-02T03:04:05.678901234Z';
const json = (fields: object): string => `${JSON.stringify({ Time: at, ...fields })}\n`;

/** Tests of 2,000 log lines, as integration suites have them. */
function* goJson(limit: number): Generator<string> {
  const Package = 'example.com/suite/test/integration';
  let size = 0;
  for (let test = 0; size < limit; test += 1) {
    const Test = `TestFunctional/parallel/Case${String(test)}`;
    let text = json({ Action: 'run', Package, Test });
    for (let line = 0; line < 2000; line += 1) {
      const Output = `    helpers_test.go:${String(line)}: (dbg) Run: out/minikube -p functional-${String(test)} ssh "sudo crictl images" --alsologtostderr -v=1\n`;
      text += json({ Action: 'output', Package, Test, Output });
    }
    text += json({ Action: test % 50 === 0 ? 'fail' : 'pass', Package, Test, Elapsed: 1.5 });
    size += text.length;
    yield text;
  }
  yield json({ Action: 'fail', Package, Elapsed: 100 });
}

function* goText(limit: number): Generator<string> {
  let size = 0;
  for (let test = 0; size < limit; test += 1) {
    let text = `=== RUN   TestCase${String(test)}\n`;
    for (let line = 0; line < 2000; line += 1) {
      text += `    helpers_test.go:${String(line)}: (dbg) Run: out/minikube -p functional-${String(test)} ssh "sudo crictl images" --alsologtostderr -v=1\n`;
    }
    text += `--- ${test % 50 === 0 ? 'FAIL' : 'PASS'}: TestCase${String(test)} (1.50s)\n`;
    size += text.length;
    yield text;
  }
  yield 'FAIL\nFAIL\texample.com/suite\t100.0s\n';
}

function* manyTests(): Generator<string> {
  const Package = 'example.com/suite/unit';
  for (let test = 0; test < 50_000; test += 1) {
    const Test = `TestTable/case_${String(test)}`;
    yield (
      json({ Action: 'run', Package, Test }) +
      json({ Action: 'output', Package, Test, Output: `=== RUN   ${Test}\n` }) +
      json({ Action: 'output', Package, Test, Output: `--- PASS: ${Test} (0.00s)\n` }) +
      json({ Action: 'pass', Package, Test, Elapsed: 0 })
    );
  }
  yield json({ Action: 'pass', Package, Elapsed: 1 });
}

function* longLine(limit: number): Generator<string> {
  const Package = 'p';
  yield json({ Action: 'run', Package, Test: 'TestLong' });
  yield `{"Time":"${at}","Action":"output","Package":"p","Test":"TestLong","Output":"`;
  for (let size = 0; size < limit / 2; size += 100_000) yield 'abcdefghi\\t'.repeat(10_000);
  yield '\\n"}\n' + json({ Action: 'pass', Package, Test: 'TestLong' }) + json({ Action: 'pass', Package });
}

const CASES: Readonly<Record<string, Source>> = {
  'go-json': goJson,
  'go-text': goText,
  '50,000 tests': manyTests,
  'one long line': longLine,
};

async function run(name: string, source: Source): Promise<void> {
  let made = 0;
  let makingMs = 0;
  async function* pieces(): AsyncGenerator<Uint8Array> {
    const iterator = source(bytes);
    for (;;) {
      const start = performance.now();
      const next = iterator.next();
      const piece = next.done === true ? undefined : Buffer.from(next.value);
      makingMs += performance.now() - start;
      if (piece === undefined) return;
      for (let from = 0; from < piece.length; from += 65_536) yield piece.subarray(from, from + 65_536);
      made += piece.length;
    }
  }
  const state = createCellState();
  let outputs = 0;
  const start = performance.now();
  const { format } = await readInput(pieces(), {
    emit: (event) => {
      if (event.type === 'output') outputs += 1;
      else addReadEvent(state, event);
    },
  });
  const ms = performance.now() - start - makingMs;
  const { tests, counts } = summarizeCell(state);
  console.log(
    JSON.stringify({
      case: name,
      format,
      megabytes: made / 1e6,
      seconds: Number((ms / 1000).toFixed(2)),
      // Processor time of the whole process with making the input: what is left on a busy host.
      cpuSeconds: Number(((process.cpuUsage().user + process.cpuUsage().system) / 1e6).toFixed(2)),
      megabytesPerSecond: Math.round(made / 1e3 / ms),
      peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1024),
      outputs,
      tests: tests.length,
      counts,
      conserved: checkConservation(state, tests).holds,
    }),
  );
}

if (values.case === undefined) {
  for (const name of Object.keys(CASES)) {
    const args = [...process.execArgv, fileURLToPath(import.meta.url), '--case', name, '--megabytes', values.megabytes];
    spawnSync(process.execPath, args, { stdio: 'inherit' });
  }
} else {
  const source = CASES[values.case];
  if (source === undefined) throw new Error(`no case ${values.case}; known: ${Object.keys(CASES).join(', ')}`);
  await run(values.case, source);
}
