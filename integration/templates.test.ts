/**
 * Snapshots, templates and the pool of clusters in containers. Needs docker that answers, as root (`scripts/with-dockerd.sh` gives
 * one), or with MK_CI_TEST_ENGINE=podman that (`scripts/with-podman.sh`), and a node image in the cache or what is needed to make
 * one; else skipped with a word. About five minutes, and 4 GB of memory.
 */
import { chmod, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { beforeAll, expect, it } from 'vitest';

import { exec } from '../src/exec.js';
import { foldersOf } from '../src/files.js';
import { TEST_ENGINE, describeWithNodeImage, findNodeImage, listThings, useClusterRig } from './engines.js';
import { startMkCi } from './mk-ci.js';

const ENGINE = TEST_ENGINE;
const MINUTE = 60_000;
const found = await findNodeImage(ENGINE);

/** Leaves something of every kind in a node. */
const LEAVE_DIRT = `
touch /etc/dirt /usr/local/dirt /var/dirt /var/lib/kubelet/dirt
ctr -n k8s.io images tag registry.k8s.io/pause:3.10.2 dirt.example/dirt:1 >/dev/null
iptables -N DIRT
ip link add dirt type veth peer name dirt-peer
(exec -a dirt sleep 100000) >/dev/null 2>&1 &
`;
/** Prints what is there of it, one word a kind. */
const FIND_DIRT = `
ls /etc/dirt /usr/local/dirt /var/dirt /var/lib/kubelet/dirt 2>/dev/null
ctr -n k8s.io images list -q | grep dirt
iptables -n -L DIRT >/dev/null 2>&1 && echo rule
ip link show dirt >/dev/null 2>&1 && echo link
pgrep -f '^dirt' >/dev/null && echo process
true
`;

/** A pod of an image that every node has: it runs when runtime, network, scheduler and kubelet work. */
const RUN_POD = `
kubectl run probe --image=registry.k8s.io/pause:3.10.2 --restart=Never >/dev/null
kubectl wait pod/probe --for=condition=Ready --timeout=60s >/dev/null
`;

const SUITE = `#!/bin/sh
node="$MK_CI_CLUSTER-control-plane"
echo 1..2
left="$(${ENGINE} exec -i "$node" bash <"$1/find.sh"; kubectl get namespace,configmap -A -o name | grep dirt)"
[ -z "$left" ] || echo "# $left" | tr '\\n' ' '
[ -z "$left" ] && echo 'ok 1 - nothing is left of another suite' || echo 'not ok 1 - nothing is left of another suite'
${RUN_POD.trim()} && echo 'ok 2 - a pod runs' || echo 'not ok 2 - a pod runs'
${ENGINE} exec -i "$node" bash <"$1/leave.sh"
kubectl create namespace dirt >/dev/null
kubectl -n dirt create configmap dirt >/dev/null
`;

/** The first one waits until a cluster is frozen, and notes its name; the second one has to be given that cluster, at work. */
const POOL_SUITE = `#!/bin/sh
node="$MK_CI_CLUSTER-control-plane"
if [ "$2" = first ]; then
  echo 1..1
  until frozen="$(${ENGINE} ps --filter status=paused --format '{{.Names}}')" && [ -n "$frozen" ]; do sleep 0.2; done
  echo "$frozen" >"$1/frozen"
  ${ENGINE} exec -i "$node" bash <"$1/leave.sh"
  echo 'ok 1 - the next cluster is frozen while this one is used'
else
  echo 1..3
  [ "$(cat "$1/frozen")" = "$node" ] && echo 'ok 1 - it is the one that was frozen' || echo 'not ok 1 - it is the one that was frozen'
  left="$(${ENGINE} exec -i "$node" bash <"$1/find.sh")"
  [ -z "$left" ] && echo 'ok 2 - nothing is left of another suite' || echo 'not ok 2 - nothing is left of another suite'
  ${RUN_POD.trim()} && echo 'ok 3 - a pod runs' || echo 'not ok 3 - a pod runs'
fi
`;

/** Bundles and node images of this user, templates of this test. */
async function makeHomeWithoutTemplates(folder: string): Promise<string> {
  const home = join(folder, 'home');
  const { cache } = foldersOf(process.env);
  await mkdir(join(home, 'cache'), { recursive: true });
  for (const name of ['bundles', 'node-images']) {
    await mkdir(join(cache, name), { recursive: true });
    await symlink(join(cache, name), join(home, 'cache', name));
  }
  return home;
}

describeWithNodeImage(`templates of clusters in containers: ${ENGINE}`, found, () => {
  const rig = useClusterRig(ENGINE, { makeHomeIn: makeHomeWithoutTemplates });
  let templates: string;

  beforeAll(async () => {
    templates = join(rig.folder, 'home', 'cache', 'templates');
    await writeFile(join(rig.folder, 'leave.sh'), LEAVE_DIRT);
    await writeFile(join(rig.folder, 'find.sh'), FIND_DIRT);
    await writeFile(join(rig.folder, 'suite.sh'), SUITE);
    await writeFile(join(rig.folder, 'pool.sh'), POOL_SUITE);
    for (const name of ['suite.sh', 'pool.sh']) await chmod(join(rig.folder, name), 0o755);
    const suite = { command: [join(rig.folder, 'suite.sh'), rig.folder], format: 'tap', cluster: 'fresh' };
    const config = {
      version: 1,
      environments: [{ driver: ENGINE }],
      suites: [
        { ...suite, name: 'first' },
        { ...suite, name: 'second' },
        { ...suite, name: 'third' },
      ],
    };
    await writeFile(join(rig.folder, 'mk-ci.yaml'), JSON.stringify(config));
    const pooled = {
      version: 1,
      environments: [{ driver: ENGINE, pool: { min: 1, max: 1 } }],
      suites: ['first', 'second'].map((name) => ({
        ...suite,
        name,
        command: [join(rig.folder, 'pool.sh'), rig.folder, name],
      })),
    };
    await writeFile(join(rig.folder, 'pool.yaml'), JSON.stringify(pooled));
  });

  const listTemplates = async (): Promise<string[]> => await readdir(templates).catch(() => []);
  const whole = async (): Promise<string[]> => (await listTemplates()).filter((name) => !name.endsWith('.tmp'));
  const runSuites = ['run', '--jobs', '1', '--out', 'runs'] as const;

  it(
    'are not used half: a run that is killed while it makes one, or while it makes a cluster of it, leaves nothing',
    async () => {
      const killed = startMkCi([...runSuites, 'first'], { cwd: rig.folder, env: rig.env });
      await expect.poll(listTemplates, { timeout: 4 * MINUTE, interval: 5 }).not.toEqual([]);
      killed.signal('SIGKILL');
      await killed.ended;
      await rig.succeed('gc', '--yes');
      await rig.expectNothingLeft();
      // It may have been finished in the last moment; a half one is told by its name.
      await rig.succeed(...runSuites, 'first');
      expect(await whole()).toHaveLength(1);

      const cloning = startMkCi([...runSuites, 'first'], { cwd: rig.folder, env: rig.env });
      await expect.poll(() => listThings(ENGINE), { timeout: 4 * MINUTE, interval: 20 }).not.toEqual([]);
      cloning.signal('SIGKILL');
      await cloning.ended;
      await rig.succeed('gc', '--yes');
      await rig.expectNothingLeft();
      expect(await whole()).toHaveLength(1);
    },
    15 * MINUTE,
  );

  it(
    'give each suite a cluster in which nothing of another is left and pods run',
    async () => {
      await rig.succeed(...runSuites);
      const summary: unknown = JSON.parse(await readFile(join(rig.folder, 'runs', 'latest', 'summary.json'), 'utf8'));
      expect(summary).toMatchObject({ NumberOfTests: 6, NumberOfPass: 6 });
      expect(await whole()).toHaveLength(1);
      await rig.expectNothingLeft();
    },
    15 * MINUTE,
  );

  it(
    'are made beforehand and frozen, and the next suite gets one of these at work',
    async () => {
      await rig.succeed('run', '--config', 'pool.yaml', '--jobs', '1', '--out', 'pooled');
      const summary: unknown = JSON.parse(await readFile(join(rig.folder, 'pooled', 'latest', 'summary.json'), 'utf8'));
      expect(summary).toMatchObject({ NumberOfTests: 4, NumberOfPass: 4 });
      await rig.expectNothingLeft();
    },
    15 * MINUTE,
  );

  it(
    'snapshots bring back what a cluster had, and a damaged one is refused without touching it',
    async () => {
      const kubectl = async (...args: string[]): Promise<string> =>
        await rig.succeed('cluster', 'exec', 'snap', '--', 'kubectl', ...args);
      const names = async (): Promise<string> => await kubectl('get', 'configmap', '--output=name');
      const inNode = async (script: string, wanted = 'control-plane'): Promise<string> => {
        const node = (await listThings(ENGINE)).find((name) => name.startsWith(`snap-${wanted}`)) ?? '';
        return (await exec([ENGINE, 'exec', '--interactive', node, 'bash'], { input: script })).stdout;
      };
      const inBoth = async (script: string): Promise<string[]> =>
        await Promise.all(['control-plane', 'worker-1'].map((node) => inNode(script, node)));
      await rig.succeed('cluster', 'start', 'snap', '--driver', ENGINE, '--nodes', '2');
      await kubectl('create', 'configmap', 'before');
      await inBoth('echo kept >/etc/kept; echo kept >/var/kept');
      // As a pod with hostNetwork would.
      expect(await inNode('exec 3<>/dev/tcp/10.96.0.1/443 && echo reached')).toBe('reached\n');
      await rig.succeed('cluster', 'snapshot', 'save', 'snap', 'one');
      await rig.succeed('cluster', 'snapshot', 'save', 'snap', 'two');
      await kubectl('create', 'configmap', 'after');
      await inBoth(LEAVE_DIRT);

      const folder = join(rig.env['MK_CI_HOME'] ?? '', 'state', 'clusters', 'snap', 'snapshots', 'two', 'data');
      await writeFile(join(folder, 'nodes', 'control-plane.tar'), 'x', { flag: 'r+' });
      const refused = await rig.run('cluster', 'snapshot', 'restore', 'snap', 'two');
      expect(refused.stderr).toContain('K8S_SNAPSHOT_BROKEN');
      expect(await names()).toContain('configmap/after');

      const killed = startMkCi(['cluster', 'snapshot', 'restore', 'snap', 'one'], { cwd: rig.folder, env: rig.env });
      await expect
        .poll(() => listThings(ENGINE), { timeout: 4 * MINUTE, interval: 20 })
        .toContain('snap-control-plane-b');
      killed.signal('SIGKILL');
      await killed.ended;
      await rig.succeed('gc', '--yes');
      expect(await listThings(ENGINE)).not.toContain('snap-control-plane-b');
      await rig.succeed('cluster', 'start', 'snap');
      expect(await names()).toContain('configmap/after');
      for (const left of await inBoth(FIND_DIRT)) expect(left).toContain('process');

      await rig.succeed('cluster', 'snapshot', 'restore', 'snap', 'one');
      expect(await names()).toContain('configmap/before');
      expect(await names()).not.toContain('configmap/after');
      expect(await inBoth(FIND_DIRT)).toEqual(['', '']);
      expect(await inBoth('cat /etc/kept /var/kept')).toEqual(['kept\nkept\n', 'kept\nkept\n']);
      for (const nodeName of ['control-plane', 'worker-1']) {
        const image = '--image=registry.k8s.io/pause:3.10.2';
        const overrides = JSON.stringify({ spec: { nodeName } });
        await kubectl('run', nodeName, image, '--restart=Never', `--overrides=${overrides}`);
        await kubectl('wait', `pod/${nodeName}`, '--for=condition=Ready', '--timeout=120s');
      }
      await rig.succeed('cluster', 'delete', 'snap');
      await rig.expectNothingLeft();
    },
    15 * MINUTE,
  );
});
