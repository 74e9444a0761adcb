import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const SCRIPT = join(import.meta.dirname, '..', 'fixtures', 'flake', 'writer.mts');

export interface WriterOptions {
  readonly database: string;
  /** Begin of every uid, and the origin of the runs. */
  readonly prefix: string;
  readonly runs: number;
  readonly tests: number;
  /** Called at each run that is committed. */
  readonly onRun?: (count: number, kill: () => void) => void;
}

export interface WriterEnd {
  /** Uids that the process said were committed. */
  readonly committed: readonly string[];
  readonly exitCode: number | null;
  readonly stderr: string;
}

/** Starts a process that records runs with the store, and waits for its end; `kill` is SIGKILL. */
export async function writeRuns({ database, prefix, runs, tests, onRun }: WriterOptions): Promise<WriterEnd> {
  const child = spawn(process.execPath, ['--import', 'tsx', SCRIPT, database, prefix, String(runs), String(tests)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: join(import.meta.dirname, '..', '..'),
  });
  const committed: string[] = [];
  let stderr = '';
  child.stderr.on('data', (piece: Buffer) => (stderr += piece.toString()));
  createInterface({ input: child.stdout }).on('line', (line) => {
    committed.push(line);
    onRun?.(committed.length, () => child.kill('SIGKILL'));
  });
  const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { committed, exitCode, stderr };
}
