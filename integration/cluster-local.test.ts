/**
 * Clusters of the driver `local` with real Kubernetes programs: about three minutes on two cores.
 *
 * Needs the compiled program in `dist/` (npm run build) and, in the folder that MK_CI_BINARIES names, etcd,
 * kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and kwok of one Kubernetes version.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createFolderBundle, createClusterManager, type SeedableClusterManager } from '../src/cluster/index.js';
import type { ClusterSpec, PhaseEvent, RunningCluster } from '../src/cluster/cluster.js';
import { createDriverRegistry } from '../src/drivers/index.js';
import { describeDriverContract } from '../src/drivers/driver-contract.js';
import { createLocalDriver } from '../src/drivers/local/local-driver.js';
import { MkCiError, isMkCiError } from '../src/errors.js';
import { exec } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { silentLogger } from '../src/log.js';
import { listLabelledProcesses, identifyProcess, isAlive } from '../src/process.js';
import { kubernetesPrograms } from './mk-ci.js';

const BINARIES = kubernetesPrograms();
const ROOT = join(import.meta.dirname, '..');
const { signal } = new AbortController();
const call = { signal, deadlineMs: 150_000 };

function spec(name: string, rest: Partial<ClusterSpec> = {}): ClusterSpec {
  return { name, driver: 'local', kubernetesVersion: 'v1.36.3', nodes: 0, ...rest };
}

describeDriverContract('local', { create: () => createLocalDriver({ exec }) });

describe('clusters of the driver local', () => {
  let temporary: TemporaryFolder;
  let manager: SeedableClusterManager;

  beforeAll(async () => {
    temporary = await createTemporaryFolder();
    manager = createClusterManager({
      stateFolder: temporary.path,
      bundles: createFolderBundle(BINARIES),
      drivers: createDriverRegistry({ exec }),
      exec,
      log: silentLogger,
      env: process.env,
      supervisorEntry: join(ROOT, 'dist', 'cluster', 'supervisor-main.js'),
    });
  });
  afterAll(async () => {
    for (const { name } of await manager.list(signal)) await manager.delete(name, call);
    expect(processesBelow(temporary.path)).toEqual([]);
    await temporary[Symbol.asyncDispose]();
  });

  const kubectl = async (cluster: RunningCluster, ...args: string[]): Promise<string> =>
    (await cluster.exec(['kubectl', ...args], { timeoutMs: 60_000 })).stdout.trim();
  const pidOf = async (name: string, component: string): Promise<number> => {
    const { components } = await manager.status(name, signal);
    return components.find((entry) => entry.name === component)!.pid!;
  };

  describe('one with a node', () => {
    const phases: PhaseEvent[] = [];
    let cluster: RunningCluster;

    beforeAll(async () => {
      cluster = await manager.start(spec('main', { nodes: 1 }), { ...call, onPhase: (event) => phases.push(event) });
    });

    it('tells of every phase with its duration', () => {
      const ended = phases.filter((event) => event.state === 'ok').map((event) => event.name);
      expect(ended.sort()).toEqual(
        [
          'bundle',
          'prepare',
          'etcd',
          'kube-apiserver',
          'kube-controller-manager',
          'kube-scheduler',
          'kwok',
          'readyz',
          'default-serviceaccount',
          'nodes',
        ].sort(),
      );
      expect(
        phases
          .filter((event) => event.state === 'started')
          .map((event) => event.name)
          .sort(),
      ).toEqual(ended);
    });

    it('keeps its kubeconfig private', async () => {
      expect((await stat(cluster.kubeconfig)).mode & 0o777).toBe(0o600);
    });

    it('runs the pods of a Deployment', async () => {
      await kubectl(cluster, 'create', 'deployment', 'web', '--image=example.test/web', '--replicas=2');
      await kubectl(cluster, 'wait', '--for=condition=Available', 'deployment/web', '--timeout=60s');
      const phasesOfPods = await kubectl(cluster, 'get', 'pods', '-o', 'jsonpath={.items[*].status.phase}');
      expect(phasesOfPods).toBe('Running Running');
    });

    it('refuses by RBAC, and who is not known', async () => {
      const token = await kubectl(cluster, 'create', 'token', 'default');
      const refused = await cluster.exec(
        [
          'kubectl',
          '--kubeconfig=/dev/null',
          `--server=${cluster.server}`,
          '--insecure-skip-tls-verify',
          `--token=${token}`,
          'get',
          'secrets',
        ],
        { allowFailure: true },
      );
      expect(refused.stderr).toContain('system:serviceaccount:default:default');
      expect(refused.stderr).toContain('Forbidden');
      const unknown = await cluster.exec(
        [
          'kubectl',
          '--kubeconfig=/dev/null',
          `--server=${cluster.server}`,
          '--insecure-skip-tls-verify',
          '--token=none',
          'get',
          'secrets',
        ],
        { allowFailure: true },
      );
      expect(unknown.stderr).toContain('Unauthorized');
    });

    it('does nothing when it is started again, and refuses another configuration', async () => {
      const before = await manager.status('main', signal);
      await manager.start(spec('main', { nodes: 1 }), call);
      expect(await manager.status('main', signal)).toEqual(before);
      const error = await manager.start(spec('main', { nodes: 2 }), call).catch((thrown: unknown) => thrown);
      expect(isMkCiError(error, 'K8S_CLUSTER_EXISTS')).toBe(true);
    });

    it('freezes and continues', async () => {
      await manager.pause('main', call);
      await manager.pause('main', call);
      expect((await manager.status('main', signal)).state).toBe('paused');
      const pid = await pidOf('main', 'kube-apiserver');
      expect(await readFile(`/proc/${pid}/stat`, 'utf8')).toContain(') T ');
      await expect(manager.get('main', signal)).rejects.toThrow(/paused/);
      await manager.unpause('main', call);
      await manager.unpause('main', call);
      expect(await kubectl(cluster, 'get', 'deployment', 'web', '-o', 'name')).toBe('deployment.apps/web');
    });

    it('starts a component again that was killed, and counts it', async () => {
      process.kill(await pidOf('main', 'kube-scheduler'), 'SIGKILL');
      await expect
        .poll(
          async () => {
            const { components } = await manager.status('main', signal);
            const { restarts, state, message } = components.find(({ name }) => name === 'kube-scheduler')!;
            return { restarts, state, message };
          },
          { timeout: 30_000 },
        )
        .toEqual({ restarts: 1, state: 'running', message: 'ended by SIGKILL' });
      await expect.poll(async () => (await manager.status('main', signal)).state, { timeout: 30_000 }).toBe('running');
    });

    it('saves logs in the layout of kind', async () => {
      const folder = join(temporary.path, 'saved');
      await cluster.saveLogs(folder, signal);
      expect(await readdir(join(folder, 'main-control-plane'))).toEqual(
        expect.arrayContaining(['etcd.log', 'kube-apiserver.log', 'kube-controller-manager.log', 'supervisor.json']),
      );
      expect(JSON.parse(await readFile(join(folder, 'pods.json'), 'utf8'))).toMatchObject({ kind: 'PodList' });
    });

    it('is attached to by the driver existing, which changes nothing in it', async () => {
      const options = { kubeconfig: cluster.kubeconfig };
      const attached = await manager.start(spec('other', { driver: 'existing', options }), call);
      expect(attached.server).toBe(cluster.server);
      expect((await manager.status('other', signal)).state).toBe('running');
      await expect(manager.stop('other', call)).rejects.toThrow(/can not be stopped/);
      await manager.delete('other', call);
      expect((await manager.status('main', signal)).state).toBe('running');
      const bad = await manager
        .start(spec('bad', { driver: 'existing', options: { ...options, context: 'no' } }), call)
        .catch((thrown: unknown) => thrown);
      expect(isMkCiError(bad, 'K8S_KUBECONFIG')).toBe(true);
      expect((await manager.list(signal)).map(({ name }) => name)).toEqual(['main']);
    });

    it('is broken when its supervisor was killed, takes its processes along, and recovers with its data', async () => {
      const pids = (await manager.status('main', signal)).components.map(({ pid }) => identifyProcess(pid!)!);
      const state = JSON.parse(
        await readFile(join(temporary.path, 'clusters', 'main', 'run', 'supervisor.json'), 'utf8'),
      ) as { supervisor: { pid: number } };
      process.kill(state.supervisor.pid, 'SIGKILL');
      await expect.poll(() => pids.filter(isAlive)).toEqual([]);
      expect((await manager.status('main', signal)).state).toBe('broken');
      cluster = await manager.start(spec('main', { nodes: 1 }), call);
      expect(await kubectl(cluster, 'get', 'deployment', 'web', '-o', 'name')).toBe('deployment.apps/web');
    });

    it('has the same objects on the same ports after stop and start, and other ports when one is taken', async () => {
      const { server } = cluster;
      await manager.stop('main', call);
      await manager.stop('main', call);
      expect((await manager.status('main', signal)).state).toBe('stopped');
      expect(processesBelow(temporary.path)).toEqual([]);

      const thief = createServer();
      await new Promise<void>((resolve) => thief.listen(Number(new URL(server).port), '127.0.0.1', resolve));
      try {
        cluster = await manager.start(spec('main', { nodes: 1 }), call);
      } finally {
        thief.close();
      }
      expect(cluster.server).not.toBe(server);
      expect(await readFile(cluster.kubeconfig, 'utf8')).toContain(cluster.server);
      expect(await kubectl(cluster, 'get', 'deployment', 'web', '-o', 'name')).toBe('deployment.apps/web');
    });

    it('is gone when it was deleted, twice, after SIGKILL of its supervisor', async () => {
      const path = join(temporary.path, 'clusters', 'main');
      const state = JSON.parse(await readFile(join(path, 'run', 'supervisor.json'), 'utf8')) as {
        supervisor: { pid: number };
      };
      process.kill(state.supervisor.pid, 'SIGKILL');
      await manager.delete('main', call);
      await manager.delete('main', call);
      expect(existsSync(path)).toBe(false);
      expect(processesBelow(path)).toEqual([]);
      expect(await readdir(join(temporary.path, 'journal'))).toEqual([]);
      expect(await readdir(join(temporary.path, 'ports'))).toEqual([]);
    });
  });

  it('starts several at once, each on ports of its own', async () => {
    const names = ['p1', 'p2', 'p3', 'p4'];
    const clusters = await Promise.all(names.map(async (name) => await manager.start(spec(name), call)));
    expect(new Set(clusters.map(({ server }) => server)).size).toBe(4);
    await Promise.all(
      names.map(async (name) => {
        await manager.delete(name, call);
      }),
    );
    expect(await manager.list(signal)).toEqual([]);
  });

  it('says which flag a component did not take, and leaves only its logs', async () => {
    const options = { extraFlags: { 'kube-scheduler': ['--no-such-flag'] } };
    const error = await manager.start(spec('flags', { options }), call).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(MkCiError);
    const { code, message, advice, details } = error as MkCiError;
    expect({ code, message }).toMatchObject({
      code: 'K8S_COMPONENT_FAILED',
      message: expect.stringContaining('kube-scheduler (exit code 1)') as string,
    });
    expect(advice).toMatch(/flag is not known/);
    expect(details['output']).toContain('unknown flag: --no-such-flag');
    expect(existsSync(details['logs'] as string)).toBe(true);
    expect(await manager.list(signal)).toEqual([]);
    expect(processesBelow(temporary.path)).toEqual([]);
    expect(await readdir(join(temporary.path, 'ports'))).toEqual([]);
  });

  it('gives up at the deadline with what it waited for, and leaves nothing', async () => {
    const error = await manager.start(spec('late'), { signal, deadlineMs: 700 }).catch((thrown: unknown) => thrown);
    expect(isMkCiError(error, 'K8S_START_TIMEOUT')).toBe(true);
    expect((error as MkCiError).message).toMatch(/seen last: /);
    expect(await manager.list(signal)).toEqual([]);
    expect(processesBelow(temporary.path)).toEqual([]);
  });

  it('leaves nothing when a start is aborted', async () => {
    const controller = new AbortController();
    const starting = manager.start(spec('aborted'), { signal: controller.signal }).catch((thrown: unknown) => thrown);
    await delay(1500);
    controller.abort(new Error('enough'));
    expect(await starting).toEqual(new Error('enough'));
    expect(await manager.list(signal)).toEqual([]);
    expect(processesBelow(temporary.path)).toEqual([]);
  });

  it('ends with the run that owns it, however that dies', async () => {
    const script = `
      const { createClusterManager, createFolderBundle } = await import(${JSON.stringify(join(ROOT, 'dist/cluster/index.js'))});
      const { createDriverRegistry } = await import(${JSON.stringify(join(ROOT, 'dist/drivers/index.js'))});
      const { exec } = await import(${JSON.stringify(join(ROOT, 'dist/exec.js'))});
      const { silentLogger: log } = await import(${JSON.stringify(join(ROOT, 'dist/log.js'))});
      const manager = createClusterManager({ stateFolder: ${JSON.stringify(temporary.path)},
        bundles: createFolderBundle(${JSON.stringify(BINARIES)}), drivers: createDriverRegistry({ exec }), exec, log, env: process.env });
      await manager.start(${JSON.stringify(spec('owned'))}, { signal: new AbortController().signal, owner: { runId: 'r1' } });
      console.log('up');
      setTimeout(() => {}, 600_000);`;
    const run = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => run.stdout.once('data', resolve));
    expect((await manager.status('owned', signal)).runId).toBe('r1');
    expect(processesBelow(temporary.path)).toHaveLength(5);
    run.kill('SIGKILL');
    await expect.poll(() => processesBelow(temporary.path), { timeout: 30_000 }).toEqual([]);
    await manager.delete('owned', call);
    expect(await manager.list(signal)).toEqual([]);
  });

  describe('from the command line', () => {
    const env = (): NodeJS.ProcessEnv => ({ ...process.env, MK_CI_HOME: join(temporary.path, 'home') });
    const run = async (...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> =>
      await new Promise((resolve) => {
        const child = spawn(process.execPath, [join(ROOT, 'bin', 'mk-ci.js'), 'cluster', ...args], { env: env() });
        let stdout = '';
        let stderr = '';
        child.stdout.on('data', (piece: Buffer) => (stdout += piece.toString()));
        child.stderr.on('data', (piece: Buffer) => (stderr += piece.toString()));
        child.once('close', (code) => {
          resolve({ code, stdout, stderr });
        });
      });

    afterAll(async () => {
      await run('delete', 'twice');
      await rm(join(temporary.path, 'home'), { recursive: true, force: true });
    });

    it('makes one cluster when two processes start the same name', async () => {
      await mkdir(join(temporary.path, 'home'), { recursive: true });
      const [one, two] = await Promise.all([run('start', 'twice'), run('start', 'twice')]);
      expect([one.code, two.code], one.stderr + two.stderr).toEqual([0, 0]);
      const listed = JSON.parse((await run('list', '--json')).stdout) as unknown[];
      expect(listed).toHaveLength(1);
      const supervisors = processesBelow(join(temporary.path, 'home'), 'supervisor');
      expect(supervisors).toHaveLength(1);
    });

    it('passes output, environment and exit code of a command', async () => {
      const ok = await run('exec', 'twice', '--', 'kubectl', 'get', 'namespace', 'default', '-o', 'name');
      expect(ok).toMatchObject({ code: 0, stdout: 'namespace/default\n' });
      expect(await run('exec', 'twice', '--', 'sh', '-c', 'echo $KUBECONFIG; echo no >&2; exit 7')).toEqual({
        code: 7,
        stdout: `${join(temporary.path, 'home', 'state', 'clusters', 'twice', 'kubeconfig')}\n`,
        stderr: 'no\n',
      });
      expect((await run('exec', 'twice', '--', 'sh', '-c', 'kill -TERM $$')).code).toBe(143);
    });

    it('prints the kubeconfig or where it lies', async () => {
      const { stdout: path } = await run('kubeconfig', 'twice', '--path');
      const { stdout: text } = await run('kubeconfig', 'twice');
      expect(await readFile(path.trim(), 'utf8')).toBe(text);
    });

    it('names unknown drivers, clusters and versions', async () => {
      expect(await run('start', 'x', '--driver', 'foo')).toMatchObject({
        code: 54,
        stderr: expect.stringMatching(/Known drivers: local, .*existing/) as string,
      });
      expect((await run('status', 'x')).code).toBe(105);
      expect((await run('start', 'X')).code).toBe(14);
      expect((await run('start', 'x', '--kubernetes-version', '1.36')).code).toBe(14);
    });
  });
});

/** Labelled processes of clusters below a folder. */
function processesBelow(folder: string, role?: string): string[] {
  return listLabelledProcesses()
    .filter(({ labels }) => labels['folder']?.startsWith(folder) === true)
    .filter(({ labels }) => role === undefined || labels['role'] === role)
    .map(({ pid, command }) => `${pid} ${command}`);
}
