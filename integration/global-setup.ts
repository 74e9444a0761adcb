import { exec } from '../src/exec.js';
import { PROGRAM, ROOT } from './mk-ci.js';

/**
 * What all integration tests need: the built program (`npm run test:integration` builds it) and the Kubernetes programs,
 * which are fetched or compiled once and stay in the cache. Tests find them in `MK_CI_BINARIES`.
 */
export default async function setup(): Promise<void> {
  if (process.env['MK_CI_BINARIES']) return;
  const { stdout } = await exec(
    [process.execPath, PROGRAM, 'bundle', 'build', '--parts', 'control-plane,fake-nodes', '--json'],
    {
      cwd: ROOT,
      onOutput: (piece, stream) => {
        if (stream === 'stderr') process.stderr.write(piece);
      },
    },
  );
  const { binaries } = JSON.parse(stdout) as { binaries: string };
  process.env['MK_CI_BINARIES'] = binaries;
}
