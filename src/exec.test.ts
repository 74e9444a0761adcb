import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { isMkCiError } from './errors.js';
import { exec, formatArgv, lastLines, startProcess } from './exec.js';
import { createTemporaryFolder, type TemporaryFolder } from './files.js';
import { groupIsAlive, identifyProcess } from './process.js';

const WAIT = { timeout: 15_000, interval: 5 };

let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-exec-');
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

const sh = (script: string): ['sh', '-c', string] => ['sh', '-c', script];

async function errorOf(promise: Promise<unknown>) {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isMkCiError(error)) throw new Error('no error of the catalogue', { cause: error });
  return error;
}

/** Waits until a script has written a number into a file. */
async function pidIn(file: string): Promise<number> {
  return await vi.waitFor(async () => {
    const pid = Number(await readFile(join(folder.path, file), 'utf8'));
    expect(pid).toBeGreaterThan(1);
    return pid;
  }, WAIT);
}

describe('exec', () => {
  it('gives both outputs and the exit code', async () => {
    const result = await exec(sh('echo out; echo err >&2; exit 3'), { allowFailure: true });
    expect(result).toMatchObject({ stdout: 'out\n', stderr: 'err\n', exitCode: 3, timedOut: false, aborted: false });
  });

  it('hands over a file as standard input, and closes it', async () => {
    const path = join(folder.path, 'input');
    await writeFile(path, 'of a file');
    const before = (await readdir('/proc/self/fd')).length;
    expect((await exec(sh('cat'), { inputFile: path })).stdout).toBe('of a file');
    expect((await readdir('/proc/self/fd')).length).toBeLessThanOrEqual(before);
    await expect(exec(sh('cat'), { inputFile: join(folder.path, 'none') })).rejects.toThrow('none');
  });

  it('hands over input and environment, and nothing of our own environment when one is given', async () => {
    const env = { PATH: process.env['PATH'], ONLY: 'this' };
    const { stdout } = await exec(sh('cat; echo "$ONLY $HOME"'), { input: 'text ', env });
    expect(stdout).toBe('text this \n');
  });

  it('says which command failed, how, and what it said last', async () => {
    const error = await errorOf(exec(sh('echo first >&2; echo last >&2; exit 4')));
    expect(error).toMatchObject({ code: 'HOST_COMMAND_FAILED', details: { exitCode: 4, output: 'first\nlast' } });
    expect(error.message).toMatch(/\(exit code 4\): last$/);
  });

  it('keeps the last output only', async () => {
    const { stdout } = await exec(sh('yes 0123456789 | head -c 3000000; echo end'), { maxBytes: 200_000 });
    expect(stdout.length).toBeLessThan(400_000);
    expect(stdout.endsWith('end\n')).toBe(true);
  });

  it('tells a missing program from one that is not executable and from a missing folder', async () => {
    const plain = join(folder.path, 'plain');
    await writeFile(plain, 'echo');
    expect((await errorOf(exec(['/nowhere/program']))).message).toContain('(not found)');
    expect((await errorOf(exec([plain]))).message).toContain('(not executable)');
    const error = await errorOf(exec(['sh', '-c', 'true'], { cwd: join(folder.path, 'absent') }));
    expect([error.code, error.message.includes('working folder')]).toEqual(['HOST_COMMAND_FAILED', true]);
  });

  it('ends the whole group at the time limit, also what ignores SIGTERM', async () => {
    const script = `trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $! > child; while :; do sleep 1; done`;
    const failed = errorOf(exec(sh(script), { cwd: folder.path, timeoutMs: 1000, graceMs: 50 }));
    const child = await pidIn('child');
    expect(await failed).toMatchObject({ code: 'HOST_COMMAND_TIMEOUT', exitCode: 32 });
    expect(identifyProcess(child)).toBeUndefined();
  });

  it('ends the group when aborted and rejects with the reason', async () => {
    const abort = new AbortController();
    const done = exec(sh('sleep 300 & echo $! > child; sleep 300'), { cwd: folder.path, signal: abort.signal });
    const child = await pidIn('child');
    abort.abort(new Error('interrupted'));
    await expect(done).rejects.toThrow('interrupted');
    expect(identifyProcess(child)).toBeUndefined();
  });

  it('does not start anything when it was told to stop before', async () => {
    const stopped = AbortSignal.abort(new Error('stopped'));
    await expect(exec(sh('echo yes > made'), { cwd: folder.path, signal: stopped })).rejects.toThrow('stopped');
    await expect(readFile(join(folder.path, 'made'))).rejects.toThrow('ENOENT');
  });

  it('passes pieces on as they come, characters whole', async () => {
    const pieces: string[] = [];
    await exec(sh("printf '\\303'; printf '\\274'; printf x >&2"), {
      onOutput: (piece, stream) => pieces.push(`${stream} ${piece}`),
    });
    expect(pieces.join('')).toContain('ü');
    expect(pieces).toContain('stderr x');
  });
});

describe('startProcess', () => {
  it('ends children that outlive their parent, and says so', async () => {
    const running = await startProcess(sh('sleep 300 & echo up'));
    running.stdout.resume();
    running.stderr.resume();
    expect(await running.ended).toMatchObject({ exitCode: 0, leftChildren: true });
    expect(groupIsAlive(running.pid)).toBe(false);
  });

  it('continues a stopped process so that it can end', async () => {
    const running = await startProcess(sh(`trap 'exit 7' TERM; echo $$ > up; while :; do sleep 0.01; done`), {
      cwd: folder.path,
      graceMs: 15_000,
    });
    running.stdout.resume();
    running.stderr.resume();
    process.kill(-(await pidIn('up')), 'SIGSTOP');
    expect(await running.end()).toMatchObject({ exitCode: 7, aborted: false });
  });
});

describe('what is shown of a command', () => {
  it('is quoted as a shell would read it', () => {
    expect(formatArgv(['go', 'test', '-run', "^It's$", ''])).toBe(`go test -run '^It'\\''s$' ''`);
  });

  it('ends with lines that say something', () => {
    expect(lastLines('a\r\n\n  \nb\nc\n\n', 2)).toEqual(['b', 'c']);
  });
});
