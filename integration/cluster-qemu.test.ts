/**
 * A real cluster in a virtual machine: a suite on its pods, and nothing left. Needs QEMU, root once for the disk, 4 GiB of memory,
 * and a node image in the cache or what is needed to make one; else skipped with a word. Without hardware virtualisation some ten
 * minutes of a host that does nothing else.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createDriverRegistry } from '../src/drivers/index.js';
import { exec } from '../src/exec.js';
import { createTemporaryFolder } from '../src/files.js';
import { makeHome } from './engines.js';
import { mkCi, ROOT } from './mk-ci.js';

const MINUTE = 60_000;
const health = await createDriverRegistry({ exec }).get('qemu').check(AbortSignal.timeout(MINUTE));
const missing = health.problems.map(({ message }) => message).join('; ');
// Asked for by name: beside other integration tests a translated machine has no processor to run on.
const isAsked = process.env['MK_CI_TEST_VM'] !== undefined;

describe.skipIf(!health.usable || !isAsked)(
  `clusters in virtual machines (${isAsked ? missing || 'all is there' : 'skipped unless MK_CI_TEST_VM is set'})`,
  () => {
    it(
      'run a suite on real pods with --driver=qemu, the second time from a template, and leave nothing behind',
      async () => {
        await using temporary = await createTemporaryFolder('mk-ci-vm-');
        const env = { ...process.env, MK_CI_HOME: await makeHome(temporary.path), TMPDIR: temporary.path };
        const run = async (...args: string[]) => await mkCi(args, { cwd: temporary.path, env, timeoutMs: 40 * MINUTE });
        try {
          const config = join(ROOT, 'examples', 'pods', 'vm.yaml');
          const out = join(temporary.path, 'runs');
          const ran = await run('run', '--driver=qemu', '--config', config, '--out', out);
          expect(ran.exitCode, `${ran.stdout}\n${ran.stderr}`).toBe(0);
          process.stdout.write(ran.stderr);
          const summary: unknown = JSON.parse(await readFile(join(out, 'latest', 'summary.json'), 'utf8'));
          expect(summary).toMatchObject({ NumberOfPass: 6, NumberOfFail: 0 });
          expect((await run('gc')).stdout).toContain('nothing to remove');
          // The first run left a template: nobody waits for kubeadm any more. One test is enough to see that pods run.
          const short = join(temporary.path, 'short.yaml');
          const folder = `    workingDirectory: ${join(ROOT, 'examples', 'pods')}\n`;
          const text = (await readFile(config, 'utf8')).replace("'^pods '", "'^pods run on nodes'");
          await writeFile(short, `${text.trimEnd()}\n${folder}`);
          const again = await run('run', '--driver=qemu', '--config', short, '--out', out);
          expect(again.exitCode, `${again.stdout}\n${again.stderr}`).toBe(0);
          process.stdout.write(again.stderr);
          expect(again.stderr).not.toContain('kubeadm-init');
          expect((await run('gc')).stdout).toContain('nothing to remove');
        } finally {
          await run('gc', '--yes');
        }
      },
      45 * MINUTE,
    );
  },
);
