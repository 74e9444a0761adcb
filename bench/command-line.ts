/**
 * Start time of the command line, and what `mk-ci run` adds to a suite that does nothing, on a local cluster.
 *
 *     npm run build && npx tsx bench/command-line.ts
 *
 * Prints JSON: milliseconds as minimum, median and maximum, and ratios against `node` doing nothing.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PROGRAM = join(import.meta.dirname, '..', 'bin', 'mk-ci.js');
const RUNS = 11;

interface Timing {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

function timing(values: readonly number[]): Timing {
  const sorted = [...values].sort((left, right) => left - right);
  const at = (index: number): number => Math.round((sorted[index] ?? 0) * 10) / 10;
  return { min: at(0), median: at(Math.floor(sorted.length / 2)), max: at(sorted.length - 1) };
}

function time(args: readonly string[]): number {
  const startedAt = performance.now();
  const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status ?? 'a signal'}`);
  return performance.now() - startedAt;
}

/** Duration of a cell beyond that of its command: many cells with a command that only prints a result. */
function overhead(cells: number): Timing {
  const folder = mkdtempSync(join(tmpdir(), 'mk-ci-bench-'));
  try {
    const suites = Array.from({ length: cells }, (_, index) => ({
      name: `s${index}`,
      command: ['printf', '1..1\nok 1 - nothing\n'],
      format: 'tap',
    }));
    writeFileSync(
      join(folder, 'mk-ci.yaml'),
      JSON.stringify({ version: 1, environments: [{ driver: 'local', nodes: 0 }], suites }),
    );
    const { status, stderr } = spawnSync(process.execPath, [PROGRAM, 'run', '--jobs', '1', '--out', 'out'], {
      cwd: folder,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
    const [run = ''] = readdirSync(join(folder, 'out')).filter((name) => name !== 'latest');
    const events = readFileSync(join(folder, 'out', run, 'events.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; at: string; cell?: string; durationMs?: number });
    const ended = events.filter(({ type }) => type === 'cell-ended');
    // The first cell waits for the cluster; every other one runs from start to end of its cell.
    return timing(ended.slice(1).map(({ durationMs }) => durationMs ?? 0));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const repeat = (args: readonly string[]): Timing => timing(Array.from({ length: RUNS }, () => time(args)));
const bare = repeat(['-e', '0']);
const version = repeat([PROGRAM, '--version']);
const help = repeat([PROGRAM, 'run', '--help']);
const result = {
  runs: RUNS,
  milliseconds: { node: bare, version, runHelp: help, cell: overhead(8) },
  ratioToNode: { version: Math.round((version.median / bare.median) * 100) / 100 },
};
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
