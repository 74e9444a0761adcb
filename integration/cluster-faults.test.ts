/**
 * Clusters in containers whose starts, runs and ends are killed at random moments, many of them at one time, and ones that
 * find no memory or a full disk. Needs docker that answers, as root (`scripts/with-dockerd.sh` gives one), and a node image
 * in the cache or what is needed to make one; else skipped with a word. About ten minutes, and 6 GB of memory.
 * MK_CI_TEST_SEED repeats the moments of an earlier run, MK_CI_TEST_KILLS says how many there are.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { expect, it } from 'vitest';

import { INOTIFY_INSTANCES } from '../src/drivers/index.js';
import { exec } from '../src/exec.js';
import { describeWithNodeImage, findNodeImage, useClusterRig } from './engines.js';
import { PROGRAM, ROOT, startMkCi } from './mk-ci.js';

const ENGINE = 'docker';
const MINUTE = 60_000;
const found = await findNodeImage(ENGINE);
const KILLS = Number(process.env['MK_CI_TEST_KILLS'] ?? 20);
const seed = Number(process.env['MK_CI_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const WAIT_FOR_NODE = `echo 1..1; kubectl wait node --all --for=condition=Ready --timeout=60s >&2 && echo ok 1 - ready`;

/** Leaves a disk almost no room, before a start and during one; says what mk-ci said, how it ended and what is there then. */
const FILL_DISK = `
$MK_CI node-image build --engine docker >/dev/null || exit 3
fill() { cat /dev/zero >"$DISK/filler" 2>/dev/null; truncate --size="-$1" "$DISK/filler"; }
left() { echo left $({ docker ps -aq; docker volume ls -q; docker network ls -q --filter label=mk-ci.machine; } | wc -l); }
fill 20M
$MK_CI cluster start full --driver docker --timeout 90 2>&1
echo exit $?; left
# What is left then is filled in no time.
fill 500M
echo second
$MK_CI cluster start full --driver docker --timeout 120 >"$PWD/said" 2>&1 &
until grep -q 'runtime (' "$PWD/said"; do sleep 0.1; kill -0 $! || break; done
cat /dev/zero >"$DISK/rest" 2>/dev/null
wait $!; status=$?
cat "$PWD/said"
echo exit $status; left
`;

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
function createRandom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Whole ids of containers that mk-ci made. */
async function listIds(): Promise<string[]> {
  const { stdout } = await exec([ENGINE, 'ps', '-aq', '--no-trunc', '--filter', 'label=mk-ci.machine']);
  return stdout.split('\n').filter((line) => line !== '');
}

/** Control groups that are named after one of these containers. */
async function listCgroups(ids: ReadonlySet<string>): Promise<string[]> {
  const { stdout } = await exec(['find', '/sys/fs/cgroup', '-maxdepth', '6', '-type', 'd'], { allowFailure: true });
  return stdout.split('\n').filter((path) => [...ids].some((id) => path.includes(id)));
}

/** Processes in a control group of one of these containers. */
async function listProcesses(ids: ReadonlySet<string>): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const inOne = async (pid: string): Promise<boolean> => {
    const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
    return [...ids].some((id) => groups.includes(id));
  };
  const isOne = await Promise.all(pids.map(inOne));
  return pids.filter((_, index) => isOne[index]);
}

describeWithNodeImage(`clusters in containers under faults (MK_CI_TEST_SEED=${seed})`, found, () => {
  const random = createRandom(seed);
  const rig = useClusterRig(ENGINE);

  /** Writes a configuration of suites that see a node and end; each wants a cluster of its own. */
  const writeSuites = async (name: string, suites: number, options: object = {}): Promise<string> => {
    const config = {
      version: 1,
      environments: [{ driver: ENGINE, options }],
      suites: Array.from({ length: suites }, (_, index) => ({
        name: `${name}-${index + 1}`,
        command: ['sh', '-c', WAIT_FOR_NODE],
        format: 'tap',
        cluster: 'fresh',
      })),
    };
    const path = join(rig.folder, `${name}.yaml`);
    await writeFile(path, JSON.stringify(config));
    return path;
  };
  const start = (...args: string[]) => startMkCi(args, { cwd: rig.folder, env: rig.env });

  it(
    `leave no container, volume, network, cgroup or process after kill -9 at ${KILLS} random moments, once gc has run`,
    async () => {
      const config = await writeSuites('killed', 1);
      const ids = new Set<string>();
      const seen: string[] = [];
      const killAfter = async (longestMs: number, ...args: string[]): Promise<void> => {
        const child = start(...args);
        const afterMs = Math.round(random() * longestMs);
        await Promise.race([delay(afterMs), child.ended]);
        child.signal('SIGKILL');
        const { signal } = await child.ended;
        for (const id of await listIds()) ids.add(id);
        const last = child.stderr().trim().split('\n').at(-1) ?? '';
        seen.push(`${args[0] ?? ''} ${args[1] ?? ''} ${afterMs} ms: ${signal === null ? 'had ended' : last}`);
      };
      for (let round = 0; round < KILLS; round += 1) {
        if (round % 3 === 0) await killAfter(25_000, 'cluster', 'start', 'killed', '--driver', ENGINE);
        if (round % 3 === 1) await killAfter(30_000, 'run', '--config', config, '--out', join(rig.folder, 'runs'));
        if (round % 3 === 2) {
          await rig.succeed('cluster', 'start', 'killed', '--driver', ENGINE);
          await killAfter(3000, 'cluster', 'delete', 'killed');
        }
        await rig.succeed('gc', '--yes');
        // A cluster that was complete when its start was killed is a cluster like any other.
        await rig.succeed('cluster', 'delete', 'killed');
        const left = { cgroups: await listCgroups(ids), processes: await listProcesses(ids) };
        expect(left, seen.join('\n')).toEqual({ cgroups: [], processes: [] });
        await rig.expectNothingLeft();
      }
      process.stdout.write(`${seen.join('\n')}\n`);
      expect(ids.size).toBeGreaterThan(0);
    },
    20 * MINUTE,
  );

  it(
    'are six at one time, from two processes, without a clash of names, subnets and ports',
    async () => {
      const config = await writeSuites('many', 3);
      const out = (name: string): string => join(rig.folder, name);
      const runs = ['a', 'b'].map((name) => start('run', '--config', config, '--jobs', '3', '--out', out(name)));
      let most = 0;
      const subnets = new Set<string>();
      const ports = new Map<string, string>();
      const everyone = Promise.all(runs.map(async ({ ended }) => await ended)).then(() => 'ended' as const);
      while ((await Promise.race([delay(500), everyone])) !== 'ended') {
        const ids = await listIds();
        most = Math.max(most, ids.length);
        if (ids.length > 0) {
          const { stdout } = await exec([ENGINE, 'inspect', ...ids], { allowFailure: true });
          const machines = JSON.parse(stdout) as {
            Id: string;
            NetworkSettings: {
              Networks: Record<string, { NetworkID: string; Gateway: string }>;
              Ports: Record<string, { HostPort: string }[] | null>;
            };
          }[];
          for (const { Id, NetworkSettings } of machines) {
            for (const { Gateway } of Object.values(NetworkSettings.Networks)) if (Gateway !== '') subnets.add(Gateway);
            for (const published of Object.values(NetworkSettings.Ports)) {
              for (const { HostPort } of published ?? []) {
                expect(ports.get(HostPort) ?? Id).toBe(Id);
                ports.set(HostPort, Id);
              }
            }
          }
        }
      }
      for (const [index, child] of runs.entries()) {
        expect((await child.ended).exitCode, `run ${index}:\n${child.stderr()}`).toBe(0);
      }
      for (const name of ['a', 'b']) {
        const summary: unknown = JSON.parse(await readFile(join(out(name), 'latest', 'summary.json'), 'utf8'));
        expect(summary).toMatchObject({ NumberOfTests: 3, NumberOfPass: 3 });
      }
      process.stdout.write(`${most} clusters at a time, ${subnets.size} subnets, ${ports.size} ports\n`);
      expect(most).toBeGreaterThanOrEqual(4);
      await rig.expectNothingLeft();
    },
    20 * MINUTE,
  );

  it(
    'are not begun where inotify has nothing left for them, and the others work',
    async (context) => {
      const limit = Number(await readFile('/proc/sys/fs/inotify/max_user_instances', 'utf8'));
      const count = Math.floor(limit / INOTIFY_INSTANCES.controlPlane) + 1;
      if (count > 6)
        return context.skip(`the kernel allows ${limit} inotify instances, which is enough for all of them`);
      const names = Array.from({ length: count }, (_, index) => `watched-${index + 1}`);
      const ends = await Promise.all(
        names.map(async (name) => await rig.run('cluster', 'start', name, '--driver', ENGINE, '--nodes', '1')),
      );
      const begun = names.filter((_, index) => ends[index]?.exitCode === 0);
      expect(begun.length).toBeLessThan(count);
      expect(begun.length).toBeGreaterThanOrEqual(count - 2); // the host's own programs have some
      for (const { exitCode, stderr } of ends.filter((end) => end.exitCode !== 0)) {
        expect(exitCode, stderr).toBe(39);
        expect(stderr).toMatch(/HOST_RESOURCES[^]*sysctl fs\.inotify\.max_user_instances=\d+/);
      }
      const restarts = '{.items[*].status.containerStatuses[*].restartCount}';
      for (const name of begun) {
        const get = [
          'kubectl',
          'get',
          'pods',
          '-n',
          'kube-system',
          '-l',
          'k8s-app=kube-proxy',
          '-o',
          `jsonpath=${restarts}`,
        ];
        expect(await rig.succeed('cluster', 'exec', name, '--', ...get)).toBe('0');
        await rig.succeed('cluster', 'delete', name);
      }
      await rig.expectNothingLeft();
    },
    12 * MINUTE,
  );

  it(
    'say that there is too little memory, and leave nothing behind',
    async () => {
      const config = await writeSuites('small', 1, { memoryMiB: 160 });
      const { exitCode, stderr } = await rig.run('run', '--config', config, '--out', join(rig.folder, 'small'));
      process.stdout.write(stderr);
      expect(exitCode).toBeGreaterThanOrEqual(100);
      expect(stderr).toMatch(/memory/);
      await rig.expectNothingLeft();
    },
    12 * MINUTE,
  );

  it(
    'say that the disk is full, before a node is there and while it starts, and leave nothing behind',
    async () => {
      const disk = join(rig.folder, 'small-disk');
      await mkdir(disk);
      // A daemon of its own on a disk of its own.
      await exec(['mount', '-t', 'tmpfs', '-o', 'size=5g', 'tmpfs', disk]);
      try {
        const { stdout, stderr } = await exec([join(ROOT, 'scripts', 'with-dockerd.sh'), 'bash', '-c', FILL_DISK], {
          cwd: rig.folder,
          env: { ...rig.env, TMPDIR: disk, MK_CI: `${process.execPath} ${PROGRAM}`, DISK: disk },
          timeoutMs: 15 * MINUTE,
        });
        process.stdout.write(`${stdout}\n${stderr}\n`);
        const [before, whileStarting] = stdout.split('second\n');
        expect(before).toMatch(/exit [1-9].*/);
        expect(before).toContain('HOST_DISK_FULL');
        expect(whileStarting).toMatch(/exit [1-9].*/);
        expect(whileStarting).toMatch(/disk|no space left/i);
        expect(stdout.split('\n').filter((line) => line.startsWith('left'))).toEqual(['left 0', 'left 0']);
      } finally {
        await exec(['umount', '--lazy', disk]);
      }
    },
    20 * MINUTE,
  );
});
