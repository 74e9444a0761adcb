import { spawn } from 'node:child_process';
import { join } from 'node:path';

import { exec, type ExecOptions, type ExecResult } from '../src/exec.js';

/** Root of the checkout. */
export const ROOT = join(import.meta.dirname, '..');

/** The built program, started as users start it. */
export const PROGRAM = join(ROOT, 'bin', 'mk-ci.js');

/** Folder with etcd, kube-apiserver and the other programs of a control plane, made by the global set-up. */
export function kubernetesPrograms(): string {
  const folder = process.env['MK_CI_BINARIES'];
  if (!folder) throw new Error('MK_CI_BINARIES is not set: the global set-up of the integration tests did not run');
  return folder;
}

/** Runs `mk-ci` to its end; failures are values. */
export async function mkCi(args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  return await exec([process.execPath, PROGRAM, ...args], { allowFailure: true, timeoutMs: 400_000, ...options });
}

/** A started `mk-ci` that a test can send signals to. */
export function startMkCi(
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
) {
  const child = spawn(process.execPath, [PROGRAM, ...args], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (stdout += piece));
  child.stderr.setEncoding('utf8').on('data', (piece: string) => (stderr += piece));
  const ended = new Promise<{ exitCode: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('close', (exitCode, signal) => {
      resolve({ exitCode, signal });
    });
  });
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    /** As when the program that reads its messages ends. */
    stopReading: () => child.stderr.destroy(),
    ended,
    signal: (name: NodeJS.Signals) => child.kill(name),
    /** Settles when the text appears in the output; rejects when the program ends before. */
    async sees(text: string | RegExp, timeoutMs = 240_000): Promise<void> {
      const found = () => (typeof text === 'string' ? (stdout + stderr).includes(text) : text.test(stdout + stderr));
      const deadline = Date.now() + timeoutMs;
      while (!found()) {
        if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
          if (found()) return;
          throw new Error(`mk-ci ${args.join(' ')} did not print ${String(text)}; it printed:\n${stdout}${stderr}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}
