import type { Exec } from '../exec.js';
import type { GitFacts } from './source-info.js';

/** What git says of a folder; nothing when it is no repository or git is not there. Never fails, takes 5 s at most. */
export async function readGitFacts(exec: Exec, cwd: string, signal: AbortSignal): Promise<GitFacts> {
  const git = async (...args: readonly string[]): Promise<string | undefined> => {
    try {
      const result = await exec(['git', ...args], { cwd, signal, timeoutMs: 5000, allowFailure: true });
      return result.exitCode === 0 ? result.stdout.trim() : undefined;
    } catch {
      return undefined; // no git, or interrupted: the run says so itself
    }
  };
  const [commit, branch, remote, status] = await Promise.all([
    git('rev-parse', 'HEAD'),
    git('rev-parse', '--abbrev-ref', 'HEAD'),
    git('remote', 'get-url', 'origin'),
    git('status', '--porcelain', '--untracked-files=no'),
  ]);
  return {
    ...(commit ? { commit } : {}),
    ...(branch ? { branch } : {}),
    ...(remote ? { remote } : {}),
    ...(commit && status !== undefined ? { dirty: status !== '' } : {}),
  };
}
