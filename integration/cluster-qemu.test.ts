/**
 * A real cluster in a virtual machine: a suite on its pods, and nothing left. Needs QEMU, root once for the disk, 4 GiB of memory,
 * and a node image in the cache or what is needed to make one; else skipped with a word. Without hardware virtualisation some ten
 * minutes of a host that does nothing else.
 */
import { readFile, readdir, writeFile } from 'node:fs/promises';
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

const CONFIG = join(ROOT, 'examples', 'pods', 'vm.yaml');

/** A home of its own, in which commands run. */
async function createMachineRig(timeoutMs = 15 * MINUTE) {
  const temporary = await createTemporaryFolder('mk-ci-vm-');
  const home = await makeHome(temporary.path);
  const env = { ...process.env, MK_CI_HOME: home, TMPDIR: temporary.path };
  const run = async (...args: string[]) => await mkCi(args, { cwd: temporary.path, env, timeoutMs });
  const succeed = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(...args);
    expect(exitCode, `${args.join(' ')}\n${stdout}\n${stderr}`).toBe(0);
    return stdout;
  };
  const out = join(temporary.path, 'runs');
  /** Runs the suite of a configuration, which must pass, and tells what was said. */
  const runSuite = async (config: string): Promise<string> => {
    const { exitCode, stdout, stderr } = await run('run', '--driver=qemu', '--config', config, '--out', out);
    expect(exitCode, `${stdout}\n${stderr}`).toBe(0);
    process.stdout.write(stderr);
    expect((await run('gc')).stdout).toContain('nothing to remove');
    return stderr;
  };
  return {
    home,
    run,
    succeed,
    runSuite,
    summarize: async (): Promise<unknown> => JSON.parse(await readFile(join(out, 'latest', 'summary.json'), 'utf8')),
    /** The example's configuration with one word in place of another. */
    changeConfig: async (name: string, from: string, to: string): Promise<string> => {
      const file = join(temporary.path, name);
      const text = await readFile(CONFIG, 'utf8');
      expect(text).toContain(from);
      const folder = `    workingDirectory: ${join(ROOT, 'examples', 'pods')}\n`;
      await writeFile(file, `${text.replace(from, to).trimEnd()}\n${folder}`);
      return file;
    },
    async [Symbol.asyncDispose]() {
      await temporary[Symbol.asyncDispose]();
    },
  };
}

const ALL_PASSED = { NumberOfPass: 6, NumberOfFail: 0 };

describe.skipIf(!health.usable || !isAsked)(
  `clusters in virtual machines (${isAsked ? missing || 'all is there' : 'skipped unless MK_CI_TEST_VM is set'})`,
  () => {
    it(
      'run a suite on real pods with --driver=qemu, the second time from a template, and leave nothing behind',
      async () => {
        await using rig = await createMachineRig(40 * MINUTE);
        try {
          await rig.runSuite(CONFIG);
          expect(await rig.summarize()).toMatchObject(ALL_PASSED);
          // The first run left a template: nobody waits for kubeadm any more. One test is enough to see that pods run.
          const short = await rig.changeConfig('short.yaml', "'^pods '", "'^pods run on nodes'");
          expect(await rig.runSuite(short)).not.toContain('kubeadm-init');
        } finally {
          await rig.run('gc', '--yes');
        }
      },
      45 * MINUTE,
    );

    it(
      'run the same suite with docker as the runtime',
      async () => {
        await using rig = await createMachineRig(40 * MINUTE);
        try {
          await rig.runSuite(
            await rig.changeConfig('docker.yaml', 'containerRuntime: containerd', 'containerRuntime: docker'),
          );
          expect(await rig.summarize()).toMatchObject(ALL_PASSED);
        } finally {
          await rig.run('gc', '--yes');
        }
      },
      45 * MINUTE,
    );

    it(
      'come back with what the cluster knew when QEMU is killed under pods',
      async () => {
        await using rig = await createMachineRig();
        const { home, run, succeed } = rig;
        const kubectl = async (...args: string[]) => await succeed('cluster', 'exec', 'vm', '--', 'kubectl', ...args);
        const image = 'registry.k8s.io/pause:3.10.2';
        try {
          await succeed('cluster', 'start', 'vm', '--driver', 'qemu');
          await kubectl('create', 'deployment', 'kept', `--image=${image}`, '--replicas=2');
          await kubectl('rollout', 'status', 'deployment/kept', '--timeout=300s');
          await kubectl('create', 'configmap', 'note', '--from-literal=said=before');
          process.kill(
            Number(await readFile(join(home, 'state', 'machines', 'qemu', 'vm-control-plane', 'qemu.pid'), 'utf8')),
            'SIGKILL',
          );
          await succeed('cluster', 'start', 'vm');
          expect(await kubectl('get', 'configmap', 'note', '-o', 'jsonpath={.data.said}')).toBe('before');
          await kubectl('rollout', 'status', 'deployment/kept', '--timeout=300s');
          await kubectl('create', 'deployment', 'later', `--image=${image}`);
          await kubectl('rollout', 'status', 'deployment/later', '--timeout=300s');
          await succeed('cluster', 'delete', 'vm');
          expect(await succeed('gc')).toContain('nothing to remove');
        } finally {
          await run('cluster', 'delete', 'vm');
          await run('gc', '--yes');
        }
      },
      45 * MINUTE,
    );

    it(
      'come back with their disk when QEMU is killed, here with docker alone, and say so before',
      async () => {
        await using rig = await createMachineRig();
        const { home, run, succeed } = rig;
        const inNode = async (script: string) => await succeed('cluster', 'ssh', 'vm', '--', script);
        const machine = join(home, 'state', 'machines', 'qemu', 'vm-node-1');
        const start = [
          'cluster',
          'start',
          'vm',
          '--driver',
          'qemu',
          '--container-runtime',
          'docker',
          '--no-kubernetes',
        ];
        const killQemu = async () => {
          process.kill(Number(await readFile(join(machine, 'qemu.pid'), 'utf8')), 'SIGKILL');
          await expect
            .poll(async () => await succeed('cluster', 'status', 'vm'), { timeout: MINUTE })
            .toContain('broken');
        };
        try {
          await succeed(...start, '--nodes', '1');
          expect(await inNode('docker image ls')).toContain('registry.k8s.io/pause');
          await inNode('echo kept >/root/kept; sync');
          await killQemu();
          expect(await succeed('cluster', 'status', 'vm')).toContain('vm-node-1 ended, and nobody stopped it');
          expect(await succeed('gc')).toContain('nothing to remove');
          await succeed(...start, '--nodes', '1');
          expect(await inNode('cat /root/kept; systemctl is-active docker')).toBe('kept\nactive\n');
          await killQemu();
          await succeed('cluster', 'delete', 'vm');
          expect(await succeed('gc')).toContain('nothing to remove');
          expect(await readdir(join(home, 'state', 'machines', 'qemu'))).toEqual(['.accelerator.json']);
        } finally {
          await run('cluster', 'delete', 'vm');
          await run('gc', '--yes');
        }
      },
      45 * MINUTE,
    );
  },
);
