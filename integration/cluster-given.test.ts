/**
 * Real clusters on a host that is given, by the drivers ssh and none: a pod and a suite run, and afterwards the host is as it was,
 * also after a start that was killed. Needs docker that answers, as root (`scripts/with-dockerd.sh` gives one), and a node image in
 * the cache or what is needed to make one; else skipped with a word. The host is a container, so that nothing of this one changes.
 * About six minutes.
 */
import { readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { HOST_FOLDER } from '../src/drivers/given/index.js';
import { exec, type ExecResult } from '../src/exec.js';
import { createTemporaryFolder, foldersOf, type TemporaryFolder } from '../src/files.js';
import { waitFor } from '../src/wait.js';
import { describeWithNodeImage, findNodeImage, makeHome } from './engines.js';
import { copyProgram, makeTestHost, pictureOf, type TestHost } from './given-host.js';
import { mkCi, ROOT, startMkCi } from './mk-ci.js';

const MINUTE = 60_000;
/** On the host, outside of all that is compared. */
const PLACE = '/mk-ci-test';
const found = await findNodeImage('docker');
const { signal } = new AbortController();

describeWithNodeImage('clusters on given hosts', found, (reference) => {
  let temporary: TemporaryFolder;
  let host: TestHost;
  let env: NodeJS.ProcessEnv;
  let before: Readonly<Record<string, readonly string[]>>;

  beforeAll(async () => {
    temporary = await createTemporaryFolder('mk-ci-given-cluster-');
    env = { ...process.env, MK_CI_HOME: await makeHome(temporary.path) };
    host = await makeTestHost('mk-ci-given-cluster', reference, temporary.path);
    await copyProgram(host, { place: PLACE, folder: temporary.path });
    before = await pictureOf(host);
  });
  afterAll(async () => {
    await host[Symbol.asyncDispose]();
    await temporary[Symbol.asyncDispose]();
  });

  const ssh = (): string[] => [
    ...['--ssh-host', `root@${host.address}`],
    ...['--ssh-key', host.key, '--ssh-host-key', host.hostKey],
  ];
  const here = async (...args: string[]): Promise<ExecResult> =>
    await mkCi(args, { cwd: temporary.path, env, timeoutMs: 8 * MINUTE });
  /** The same program as a user of the host starts it. */
  const there = async (...args: string[]): Promise<ExecResult> => {
    const variables = [`MK_CI_HOME=${PLACE}/home`, `MK_CI_NODE_IMAGE=${PLACE}/kit`];
    return await host.machine.exec(['env', ...variables, `${PLACE}/node`, `${PLACE}/bin/mk-ci.js`, ...args], {
      allowFailure: true,
      timeoutMs: 8 * MINUTE,
    });
  };
  const succeed = async (program: typeof here, ...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await program(...args);
    expect(exitCode, `mk-ci ${args.join(' ')}\n${stdout}\n${stderr}`).toBe(0);
    return stdout;
  };
  const expectHostAsBefore = async (): Promise<void> => {
    const after = await pictureOf(host);
    expect(Object.keys(after)).toEqual(Object.keys(before));
    for (const [what, lines] of Object.entries(after)) {
      const old = before[what] ?? [];
      // A kubelet tidies up empty cgroups of pods that it does not know: none is new.
      if (what === 'cgroups') expect.soft(lines.filter((line) => !old.includes(line))).toEqual([]);
      else expect.soft({ [what]: lines }).toEqual({ [what]: old });
    }
  };

  it(
    'run a pod on a host that is reached by ssh, and leave it as it was',
    async () => {
      await succeed(here, 'cluster', 'start', 'far', '--driver', 'ssh', ...ssh());
      const kubectl = async (...args: string[]): Promise<string> =>
        await succeed(here, 'cluster', 'exec', 'far', '--', 'kubectl', ...args);
      await expectPod(kubectl);
      // Outside of the claim and by the API: what was changed is really there, else nothing is shown by its absence later.
      expect(await kubectl('get', 'nodes', '--output=jsonpath={.items[*].status.addresses[0].address}')).toBe(
        host.address,
      );
      const during = await pictureOf(host);
      for (const what of ['files', 'units', 'rules', 'mounts', 'network', 'processes', 'cgroups'])
        expect({ [what]: during[what] }).not.toEqual({ [what]: before[what] });
      const claim = JSON.parse((await host.machine.exec(['cat', `${HOST_FOLDER}/claim.json`])).stdout) as {
        readonly kitKey: string;
      };
      await copyKit(host, claim.kitKey, temporary.path);
      await succeed(here, 'cluster', 'delete', 'far');
      await succeed(here, 'cluster', 'delete', 'far');
      await expectHostAsBefore();
    },
    12 * MINUTE,
  );

  it(
    'that was killed while kubeadm ran are found by gc, and the host is put back',
    async () => {
      const started = startMkCi(['cluster', 'start', 'dead', '--driver', 'ssh', ...ssh()], {
        cwd: temporary.path,
        env,
      });
      await waitFor(
        async () => {
          const list = await host.machine.exec(['sh', '-c', 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " "']);
          return list.stdout.includes('kubeadm init --config')
            ? { done: true, value: undefined }
            : { done: false, seen: started.stderr() };
        },
        { what: 'kubeadm', deadlineMs: 5 * MINUTE },
      );
      started.signal('SIGKILL');
      await started.ended;
      await succeed(here, 'gc', '--yes');
      expect(await succeed(here, 'gc')).toContain('nothing to remove');
      await expectHostAsBefore();
    },
    12 * MINUTE,
  );

  it(
    'run a suite by ssh, and leave the host as it was',
    async () => {
      const config = join(ROOT, 'examples', 'pods', 'host.yaml');
      const out = join(temporary.path, 'runs');
      await succeed(here, 'run', '--driver=ssh', '--config', config, '--out', out, ...ssh());
      const summary: unknown = JSON.parse(await readFile(join(out, 'latest', 'summary.json'), 'utf8'));
      // One test is about a second node.
      expect(summary).toMatchObject({ NumberOfTests: 11, NumberOfPass: 10, NumberOfFail: 0 });
      expect(await succeed(here, 'gc')).toContain('nothing to remove');
      await expectHostAsBefore();
    },
    15 * MINUTE,
  );

  it(
    'run a pod on the host itself once that was agreed to, and leave it as it was',
    async () => {
      const refused = await there('cluster', 'start', 'here', '--driver', 'none');
      expect(refused.exitCode, refused.stderr).toBeGreaterThanOrEqual(30);
      expect(refused.stderr).toContain('DRV_NOT_CONFIRMED');
      expect(refused.stderr).toContain('/etc/kubernetes');
      await expectHostAsBefore();

      await succeed(there, 'cluster', 'start', 'here', '--driver', 'none', '--yes');
      const kubeconfig = (await succeed(there, 'cluster', 'kubeconfig', 'here', '--path')).trim();
      await expectPod(
        async (...args) => (await host.machine.exec(['kubectl', '--kubeconfig', kubeconfig, ...args])).stdout,
      );
      await succeed(there, 'cluster', 'delete', 'here');
      await expectHostAsBefore();
    },
    12 * MINUTE,
  );
});

type Kubectl = (...args: string[]) => Promise<string>;

/** One of its own, whose image every node has, and those of the cluster, which are asked over the network of pods. */
async function expectPod(kubectl: Kubectl): Promise<void> {
  const images = await kubectl('get', 'nodes', '--output=jsonpath={.items[*].status.images[*].names[*]}');
  const pause = images.split(/\s+/).find((name) => /\/pause:[\w.]+$/.test(name));
  expect(pause, images).toBeDefined();
  await kubectl('run', 'one', `--image=${pause ?? ''}`, '--restart=Never', '--image-pull-policy=Never');
  await kubectl('wait', '--for=condition=Ready', 'pod/one', '--timeout=120s');
  expect(await kubectl('get', 'pod', 'one', '--output=jsonpath={.status.podIP}')).toMatch(/^10\.244\./);
  await kubectl('rollout', 'status', 'deployment/coredns', '--namespace=kube-system', '--timeout=120s');
}

/** What nodes are made of, out of the cache: the host has no way to make it. */
async function copyKit({ machine }: TestHost, key: string, folder: string): Promise<void> {
  const { cache } = foldersOf(process.env);
  const kits = join(cache, 'host-kits');
  const kit = (await readdir(kits)).find((name) => name.endsWith(`-${key}`)) ?? '';
  const facts = JSON.parse(await readFile(join(kits, kit, 'payload', 'node-image.json'), 'utf8')) as {
    readonly bundleDigest: string;
  };
  const bundle = (await readdir(join(cache, 'bundles'))).find((name) =>
    facts.bundleDigest.includes(name.split('-').at(-1) ?? ' '),
  );
  expect(bundle).toBeDefined();
  const archive = join(folder, 'cache.tar');
  // In one archive: most files of a kit are second names of those of its bundle.
  await exec(['tar', '-C', cache, '-cf', archive, `bundles/${bundle ?? ''}`, `host-kits/${kit}`]);
  await machine.copyTo(archive, `${PLACE}/cache.tar`, signal);
  await rm(archive);
  const script = `cd ${PLACE}; mkdir home/cache; tar -C home/cache -xf cache.tar; rm cache.tar; ln -s home/cache/host-kits/${kit} kit`;
  await machine.exec(['sh', '-ec', script]);
}
