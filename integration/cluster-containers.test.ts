/**
 * Real clusters in containers: suites on real pods, the life of a cluster, starts that fail or are killed. Needs docker that
 * answers, as root (`scripts/with-dockerd.sh` gives one), or with MK_CI_TEST_ENGINE=podman that (`scripts/with-podman.sh`), and
 * a node image in the cache or what is needed to make one; else skipped with a word. About five minutes, and 4 GB of memory.
 */
import { chown, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { expect, it } from 'vitest';

import { exec, type ExecResult } from '../src/exec.js';
import { createTemporaryFolder } from '../src/files.js';
import { TEST_ENGINE, describeWithNodeImage, findNodeImage, useClusterRig } from './engines.js';
import { findFreePort } from './free-port.js';
import { PROGRAM, ROOT, startMkCi } from './mk-ci.js';
import { serveImage } from './registry.js';

const ENGINE = TEST_ENGINE;
const MINUTE = 60_000;
const NOBODY = 65_534;
const found = await findNodeImage(ENGINE);

describeWithNodeImage(`clusters in containers: ${ENGINE}`, found, () => {
  const rig = useClusterRig(ENGINE);

  /** The nodes of a cluster get an image from a registry at this host's end of their network. */
  const expectPull = async (cluster: string, registry: string, port: number): Promise<void> => {
    const route = await rig.succeed('cluster', 'ssh', cluster, '--', 'ip -4 route show default');
    const host = / via (\S+)/.exec(route)?.[1] ?? '';
    for (const node of ['control-plane', 'worker-1']) {
      await rig.succeed('cluster', 'ssh', cluster, '--node', node, '--', `echo '${host} registry.test' >> /etc/hosts`);
    }
    await using served = await serveImage('team/app', { host, port });
    const load = ['cluster', 'image', 'load', cluster, '--from', 'registry'];
    expect(await rig.succeed(...load, `${registry}/team/app:1`)).toBe(`${registry}/team/app:1\n`);
    for (const node of ['control-plane', 'worker-1']) {
      const list = `ctr -n k8s.io images ls name==${registry}/team/app:1; ctr -n k8s.io content ls -q`;
      const shown = await rig.succeed('cluster', 'ssh', cluster, '--node', node, '--', list);
      expect(shown).toContain(`${registry}/team/app:1`);
      expect(shown).toContain(served.imageId);
    }
    const absent = await rig.run(...load, `${registry}/team/none:1`);
    expect(absent.exitCode).toBe(50);
    expect(absent.stderr).toContain(`${registry}/team/none:1: not found`);
  };

  it.each([
    { runtime: 'containerd', nodes: 2, passes: 11 },
    // On one node nothing can be drained.
    { runtime: 'docker', nodes: 1, passes: 10 },
  ])(
    'run a suite on real pods with $runtime on $nodes nodes, and leave nothing behind',
    async ({ runtime, passes }) => {
      const config = join(ROOT, 'examples', 'pods', 'mk-ci.yaml');
      const flags = ['--driver', ENGINE, '--container-runtime', runtime, '--out', join(rig.folder, 'runs')];
      await rig.succeed('run', '--config', config, ...flags);
      const latest = join(rig.folder, 'runs', 'latest');
      const summary: unknown = JSON.parse(await readFile(join(latest, 'summary.json'), 'utf8'));
      expect(summary).toMatchObject({ NumberOfTests: 11, NumberOfPass: passes, NumberOfFail: 0 });
      await rig.expectNothingLeft();
    },
    12 * MINUTE,
  );

  it(
    'are stopped, started, paused and deleted, and keep what was in them',
    async () => {
      const kubectl = async (...args: string[]): Promise<string> =>
        await rig.succeed('cluster', 'exec', 'life', '--', 'kubectl', ...args);
      const port = await findFreePort();
      const registry = `registry.test:${port}`;
      const insecure = ['--option', `insecureRegistries=["${registry}"]`];
      await rig.succeed('cluster', 'start', 'life', '--driver', ENGINE, ...insecure);
      await kubectl('create', 'configmap', 'kept', '--from-literal=a=b');
      await rig.succeed('cluster', 'start', 'life', '--driver', ENGINE);
      for (const [verb, state] of [
        ['stop', 'stopped'],
        ['start', 'running'],
        ['pause', 'paused'],
        ['unpause', 'running'],
      ] as const) {
        const driver = verb === 'start' ? ['--driver', ENGINE] : [];
        await rig.succeed('cluster', verb, 'life', ...driver);
        expect((await rig.status('life')).state).toBe(state);
      }
      expect(await kubectl('get', 'configmap', 'kept', '--output=jsonpath={.data.a}')).toBe('b');
      expect(await rig.succeed('cluster', 'node', 'add', 'life')).toBe('worker-1\n');
      expect(await kubectl('get', 'nodes', '--output=name')).toBe('node/control-plane\nnode/worker-1\n');
      expect(await rig.succeed('cluster', 'ssh', 'life', '--node', 'worker-1', '--', 'hostname')).toBe(
        'life-worker-1\n',
      );
      expect((await rig.run('cluster', 'ssh', 'life', '--', 'exit 7')).exitCode).toBe(7);
      expect((await rig.run('cluster', 'ssh', 'life', '--node', 'nobody')).stderr).toContain('K8S_NODE_NOT_FOUND');
      const note = join(rig.folder, 'note');
      await writeFile(note, 'from here');
      await rig.succeed('cluster', 'cp', 'life', note, ':/root/note');
      await rig.succeed('cluster', 'cp', 'life', ':/root/note', 'worker-1:/srv/');
      await rig.succeed('cluster', 'cp', 'life', 'worker-1:/srv', 'srv');
      expect(await readFile(join(rig.folder, 'srv', 'note'), 'utf8')).toBe('from here');
      await expectPull('life', registry, port);
      await rig.succeed('cluster', 'node', 'delete', 'life', 'worker-1');
      expect(await kubectl('get', 'nodes', '--output=name')).toBe('node/control-plane\n');
      const folder = (await rig.succeed('cluster', 'logs', 'life', '--out', 'logs')).trim();
      expect(await readdir(join(folder, 'life-control-plane'))).toEqual(
        expect.arrayContaining(['kubelet.log', 'containerd.log', 'journal.log', 'pods', 'containers']),
      );
      expect(await readdir(join(folder, 'objects'))).toEqual(
        expect.arrayContaining(['configmaps.json', 'deployments.apps.json', 'daemonsets.apps.json']),
      );
      const mine = join(rig.folder, 'mine', 'config');
      await rig.succeed('cluster', 'kubeconfig', 'life', '--merge', '--file', mine);
      const named = ['cluster', 'exec', 'life', '--', 'kubectl', '--kubeconfig', mine, '--context', 'mk-ci-life'];
      expect(await rig.succeed(...named, 'get', 'nodes', '--output=name')).toBe('node/control-plane\n');
      await rig.succeed('cluster', 'delete', 'life');
      expect(await readFile(mine, 'utf8')).not.toContain('mk-ci-life');
      await rig.succeed('cluster', 'delete', 'life');
      await rig.expectNothingLeft();
    },
    12 * MINUTE,
  );

  it(
    'fail to start with the last words of the component that is to blame, and leave nothing behind',
    async () => {
      const folder = join(rig.folder, 'broken');
      await mkdir(folder);
      const environment = { driver: ENGINE, options: { extraArgs: { kubelet: { 'no-such-flag': 'x' } } } };
      const suite = { name: 'none', command: 'true', format: 'tap' };
      const config = { version: 1, environments: [environment], suites: [suite] };
      await writeFile(join(folder, 'mk-ci.yaml'), JSON.stringify(config));
      const { exitCode, stderr } = await rig.run('run', '--config', join(folder, 'mk-ci.yaml'), '--out', folder);
      expect(exitCode).toBeGreaterThanOrEqual(100);
      expect(stderr).toMatch(/kubelet on control-plane: .*unknown flag: --no-such-flag.*\(K8S_COMPONENT_FAILED\)/);
      await rig.expectNothingLeft();
    },
    12 * MINUTE,
  );

  // `nobody` has no ids to give to a node; where cgroups have version 1, no user has what it takes.
  it.runIf(ENGINE === 'podman' && process.getuid?.() === 0)(
    'are refused in one error to a user who can not run nodes, and nothing is left of the start',
    async () => {
      await using home = await createTemporaryFolder('mk-ci-user-');
      for (const path of [dirname(home.path), home.path]) await chown(path, NOBODY, NOBODY);
      const asNobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] as const;
      // Without the settings by which the Podman of the tests has its storage: it is that of root.
      const options = { cwd: home.path, env: { PATH: process.env['PATH'], HOME: home.path }, allowFailure: true };
      const mkCiAsNobody = async (...args: string[]): Promise<ExecResult> =>
        await exec([...asNobody, process.execPath, PROGRAM, ...args], options);
      try {
        const { exitCode, stderr } = await mkCiAsNobody('cluster', 'start', 'user', '--driver', 'podman');
        expect([57, 59], stderr).toContain(exitCode);
        expect(stderr).toMatch(/^mk-ci: .* \(DRV_(ROOTLESS|UNUSABLE)\)$/m);
        expect(stderr).toMatch(/run podman as root/);
        expect(stderr).not.toMatch(/^ +at /m);
        expect((await mkCiAsNobody('cluster', 'list', '--json')).stdout.trim()).toBe('[]');
      } finally {
        // Ends the process that holds the namespaces of a user of podman.
        await exec([...asNobody, 'podman', 'system', 'migrate'], options);
      }
    },
    MINUTE,
  );

  it(
    'leave nothing behind when the start is killed, once gc has run',
    async () => {
      // While machines are made, while the runtime starts, while kubeadm works.
      for (const [index, phase] of ['image (', 'machines (', 'runtime ('].entries()) {
        const name = `killed-${index}`;
        const child = startMkCi(['cluster', 'start', name, '--driver', ENGINE, '--nodes', '2'], {
          cwd: rig.folder,
          env: rig.env,
        });
        await child.sees(`${name}: ${phase}`, 3 * MINUTE);
        child.signal('SIGKILL');
        await child.ended;
        await rig.succeed('gc', '--yes');
        await rig.expectNothingLeft();
      }
    },
    12 * MINUTE,
  );
});
