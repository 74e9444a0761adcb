/**
 * Clusters in docker beside those of kind with the same root file system and the same programs, by commands, in turns: until
 * `cluster start` and `kind create cluster` return, until a pod that is created then runs, until DNS answers that pod, until an image
 * of 100 MB is in the node, until the cluster is deleted; then several clusters started at the same time. Prints JSON; only the ratios
 * mean something on another host, or on one that is busy.
 *
 *     npm run build
 *     go install sigs.k8s.io/kind@v0.33.0
 *     scripts/with-dockerd.sh npx tsx bench/beside-kind.ts --kind ~/go/bin/kind [--rounds 3] [--at-once 3,6]
 *
 * Needs jq, and Go's cache of modules, where the files of kind's node image are; more than four at the same time need more inotify
 * instances than kernels allow by default. kind wants `--privileged`. On a host that does not give CAP_SYS_RESOURCE this lets it
 * have the rest, for both of them:
 *
 *     DOCKERD_OPTIONS="--add-runtime bounded=$PWD/bench/kind/bounded-runc --default-runtime bounded" scripts/with-dockerd.sh …
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { parse } from 'yaml';

import { createApiClient, type ApiClient } from '../src/cluster/api-client.js';
import { exec, type Argv } from '../src/exec.js';
import { createTemporaryFolder, foldersOf } from '../src/files.js';
import { say } from './clusters.js';
import { ASK_DNS_IN_NODE, waitForProbePod } from './probe-pod.js';
import { median, ratio, timed } from './samples.js';

const { values } = parseArgs({
  options: {
    kind: { type: 'string', default: 'kind' },
    rounds: { type: 'string', default: '3' },
    'at-once': { type: 'string', default: '3' },
  },
});

const HERE = import.meta.dirname;
const PROGRAM = join(HERE, '..', 'bin', 'mk-ci.js');
const KIND_IMAGE = 'mk-ci-bench-kind-node:latest';
const LOADED_IMAGE = 'mk-ci-bench-loaded:latest';
const LOADED_BYTES = 100_000_000;

/** What a kubelet of 1.36 needs on cgroups v1 and without CAP_SYS_RESOURCE; the network plugin is in the image. */
const KIND_CONFIG = `
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: { disableDefaultCNI: true }
kubeadmConfigPatches:
  - |
    kind: KubeletConfiguration
    failCgroupV1: false
    featureGates: { KubeletInUserNamespace: true }
  - |
    kind: KubeProxyConfiguration
    conntrack: { maxPerCore: 0 }
`;

/** A tool by its commands. */
interface Tool {
  readonly name: 'mk-ci' | 'kind';
  create(cluster: string): Argv;
  /** File that {@link create} writes. */
  kubeconfig(cluster: string): string;
  load(cluster: string): Argv;
  delete(cluster: string): Argv;
}

/** Milliseconds since the cluster was asked for, but for the last two, which are milliseconds that a command took. */
interface Sample {
  readonly startMs: number;
  readonly podMs: number;
  readonly dnsMs: number;
  readonly loadMs: number;
  readonly deleteMs: number;
}

const mkCi = (...args: string[]): Argv => [process.execPath, PROGRAM, ...args];
const kind = (...args: string[]): Argv => [values.kind, ...args];

function toolsIn(folder: string, home: string): Tool[] {
  const config = join(folder, 'kind.yaml');
  const kindKubeconfig = (cluster: string): string => join(folder, `${cluster}.kubeconfig`);
  return [
    {
      name: 'mk-ci',
      create: (cluster) => mkCi('cluster', 'start', cluster, '--driver', 'docker', '--nodes', '1'),
      kubeconfig: (cluster) => join(home, 'state', 'clusters', cluster, 'kubeconfig'),
      load: (cluster) => mkCi('cluster', 'image', 'load', cluster, LOADED_IMAGE, '--from', 'docker'),
      delete: (cluster) => mkCi('cluster', 'delete', cluster),
    },
    {
      name: 'kind',
      create: (cluster) =>
        kind(
          ...['create', 'cluster', '--name', cluster, '--image', KIND_IMAGE, '--config', config, '--wait', '5m'],
          ...['--kubeconfig', kindKubeconfig(cluster)],
        ),
      kubeconfig: kindKubeconfig,
      load: (cluster) => kind('load', 'docker-image', LOADED_IMAGE, '--name', cluster),
      delete: (cluster) => kind('delete', 'cluster', '--name', cluster, '--kubeconfig', kindKubeconfig(cluster)),
    },
  ];
}

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: Readonly<Record<string, string>> }[];
  readonly users: readonly { readonly user: Readonly<Record<string, string>> }[];
}

function clientOf(text: string): ApiClient {
  const { clusters, users } = parse(text) as Kubeconfig;
  const [cluster, user] = [clusters[0]?.cluster ?? {}, users[0]?.user ?? {}];
  const decode = (data: string | undefined): string => Buffer.from(data ?? '', 'base64').toString();
  return createApiClient(cluster['server'] ?? '', {
    ca: decode(cluster['certificate-authority-data']),
    cert: decode(user['client-certificate-data']),
    key: decode(user['client-key-data']),
    ...(cluster['tls-server-name'] === undefined ? {} : { servername: cluster['tls-server-name'] }),
  });
}

async function main(): Promise<void> {
  await using temporary = await createTemporaryFolder('mk-ci-bench-');
  const { path: folder } = temporary;
  const signal = AbortSignal.timeout(80 * 60_000);
  const home = join(folder, 'home');
  await mkdir(home);
  await symlink(foldersOf(process.env).cache, join(home, 'cache'));
  const env = { ...process.env, MK_CI_HOME: home, TMPDIR: folder };
  const run = async (argv: Argv): Promise<string> => (await exec(argv, { signal, env })).stdout;
  await writeFile(join(folder, 'kind.yaml'), KIND_CONFIG);
  const kubernetes = await makeImages(run, folder);

  const createAndProbe = async (tool: Tool, cluster: string): Promise<Omit<Sample, 'loadMs' | 'deleteMs'>> => {
    const startedAt = performance.now();
    const sinceStart = (): number => Math.round(performance.now() - startedAt);
    await run(tool.create(cluster));
    const startMs = sinceStart();
    using client = clientOf(await readFile(tool.kubeconfig(cluster), 'utf8'));
    await waitForProbePod(client, signal);
    const podMs = sinceStart();
    const { argv, input } = ASK_DNS_IN_NODE;
    await exec(['docker', 'exec', '--interactive', `${cluster}-control-plane`, ...argv], { input, signal });
    return { startMs, podMs, dnsMs: sinceStart() };
  };
  const measure = async (tool: Tool, cluster: string): Promise<Sample> => {
    try {
      const start = await createAndProbe(tool, cluster);
      const [, loadMs] = await timed(() => run(tool.load(cluster)));
      const [, deleteMs] = await timed(() => run(tool.delete(cluster)));
      return { ...start, loadMs: Math.round(loadMs), deleteMs: Math.round(deleteMs) };
    } finally {
      await run(tool.delete(cluster));
    }
  };

  const tools = toolsIn(folder, home);
  const samples: Record<Tool['name'], Sample[]> = { 'mk-ci': [], kind: [] };
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const tool of tools) {
      const sample = await measure(tool, `bench-${round}`);
      samples[tool.name].push(sample);
      say(`${tool.name}: ${JSON.stringify(sample)}`);
    }
  }
  /** Milliseconds until a pod runs in the last one, or why not all came up. */
  const atOnce: Record<string, Partial<Record<Tool['name'], number | string>>> = {};
  for (const count of values['at-once'].split(',').filter(Boolean)) {
    const times: Partial<Record<Tool['name'], number | string>> = {};
    for (const tool of tools) {
      const clusters = Array.from({ length: Number(count) }, (_, index) => `bench-${count}-${index}`);
      const ends = await Promise.allSettled(clusters.map(async (cluster) => await createAndProbe(tool, cluster)));
      const failed = ends.flatMap((end) => (end.status === 'rejected' ? [String(end.reason).slice(-300)] : []));
      const podMs = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value.podMs] : []));
      times[tool.name] = failed.length === 0 ? Math.max(...podMs) : `${failed.length} failed: ${failed[0] ?? ''}`;
      say(`${tool.name}, ${count} at once: ${times[tool.name] ?? ''}`);
      for (const cluster of clusters) await run(tool.delete(cluster));
    }
    atOnce[count] = times;
  }

  const KEYS = ['startMs', 'podMs', 'dnsMs', 'loadMs', 'deleteMs'] as const;
  const of = (name: Tool['name'], key: (typeof KEYS)[number]): number => median(samples[name].map((one) => one[key]));
  const result = {
    what: 'clusters in docker beside kind, medians',
    kubernetes,
    kind: (await run(kind('version'))).trim(),
    n: Number(values.rounds),
    ...Object.fromEntries(
      KEYS.map((key) => [
        key,
        { 'mk-ci': of('mk-ci', key), kind: of('kind', key), ratio: ratio(of('mk-ci', key), of('kind', key)) },
      ]),
    ),
    podMsAtOnce: atOnce,
  };
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
}

/** The node images of both, and the image that is loaded. @returns the version of Kubernetes */
async function makeImages(run: (argv: Argv) => Promise<string>, folder: string): Promise<string> {
  const node = JSON.parse(await run(mkCi('node-image', 'build', '--engine', 'docker', '--json'))) as Record<
    'reference' | 'kubernetesVersion' | 'pauseImage' | 'imagesArchive',
    string
  >;
  const version = /v[0-9.]+/.exec(await run(kind('version')))?.[0] ?? '';
  const modules = (await run(['go', 'env', 'GOMODCACHE'])).trim();
  await run([
    join(HERE, 'kind', 'make-node-image'),
    join(modules, 'sigs.k8s.io', `kind@${version}`),
    ...[node.reference, node.kubernetesVersion, node.pauseImage, node.imagesArchive, KIND_IMAGE],
  ]);
  const content = join(folder, 'content');
  await writeFile(content, randomBytes(LOADED_BYTES));
  await run(['sh', '-c', 'tar -C "$0" -c content | docker import - "$1"', folder, LOADED_IMAGE]);
  return node.kubernetesVersion;
}

await main();
