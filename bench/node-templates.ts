/**
 * How fast a pod runs, and DNS answers, in a new cluster whose nodes are made from an image: started cold, cloned from a template,
 * three cloned from it at the same time, taken from the pool, and taken from it after a long time frozen. All in one run, in turns;
 * only the ratios mean something on another host, or on one that is busy. Prints JSON. Clusters and templates lie in a temporary
 * folder and are removed.
 *
 *     npx tsx bench/node-templates.ts --binaries FOLDER --image NAME [--driver docker] [--container-runtime NAME] [--rounds 3]
 *       [--nodes 1] [--cases cold,template,three,pool,frozen] [--frozen-seconds 90] [--templates FOLDER]
 *
 * NAME (or MK_CI_NODE_IMAGE) is a node image that the driver has (`mk-ci node-image build --engine docker`; for qemu the folder of
 * a disk image), the FOLDER of binaries (or MK_CI_BENCH_BINARIES) holds kubectl. Templates that are to be there the next time, such
 * as those of a translated machine, lie in a folder of their own. A cold start of such a one takes ten minutes, which the first
 * template costs in any case.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { allOf } from '../src/cluster/bootstrap/kubeadm/all-of.js';
import { recipeDigest } from '../src/cluster/bootstrap/kubeadm/index.js';
import { adminClient } from '../src/cluster/bootstrap/processes.js';
import { createFolderBundle } from '../src/cluster/bundle/folder-bundle.js';
import type { ClusterLease, ClusterSource, PhaseEvent, RunningCluster } from '../src/cluster/cluster.js';
import { clusterFolder } from '../src/cluster/folder.js';
import { createTemporaryFolder } from '../src/files.js';
import { VERSION, openBenchClusters, say } from './clusters.js';
import { ASK_DNS_IN_NODE, waitForProbePod } from './probe-pod.js';
import { median, ratio } from './samples.js';

const { values } = parseArgs({
  options: {
    binaries: { type: 'string', default: process.env['MK_CI_BENCH_BINARIES'] ?? '' },
    image: { type: 'string', default: process.env['MK_CI_NODE_IMAGE'] ?? '' },
    driver: { type: 'string', default: 'docker' },
    rounds: { type: 'string', default: '3' },
    nodes: { type: 'string', default: '1' },
    cases: { type: 'string', default: 'cold,template,pool,frozen' },
    'container-runtime': { type: 'string' },
    templates: { type: 'string' },
    'frozen-seconds': { type: 'string', default: '90' },
  },
});

const CASES = ['cold', 'template', 'three', 'pool', 'frozen'] as const;
type Case = (typeof CASES)[number];

/** Clusters that are cloned at the same time. */
const AT_ONCE = 3;

/** Milliseconds since the cluster was asked for. */
interface Sample {
  /** It was given. */
  readonly startMs: number;
  /** A pod created after that runs. */
  readonly podMs: number;
  /** An answer came from the address of the Service of DNS, asked from the pod once it ran. */
  readonly dnsMs: number;
  readonly phases: Readonly<Record<string, number>>;
}

async function main(): Promise<void> {
  const rounds = Number(values.rounds);
  await using temporary = await createTemporaryFolder('mk-ci-bench-');
  const signal = AbortSignal.timeout(60 * 60_000);
  const runtime = values['container-runtime'];
  const spec = {
    ...{ driver: values.driver, kubernetesVersion: VERSION, nodes: Number(values.nodes) },
    ...(runtime === undefined ? {} : { containerRuntime: runtime }),
  };
  const asked = values.cases.split(',');
  const unknown = asked.filter((name) => !CASES.some((known) => known === name));
  if (unknown.length > 0) throw new Error(`no case ${unknown.join(', ')}: there are ${CASES.join(', ')}`);
  const has = (kind: Case): boolean => asked.includes(kind);
  const { stateFolder, drivers, manager, openSource, waitForFrozen } = openBenchClusters({
    folder: temporary.path,
    ...(values.templates === undefined ? {} : { templatesFolder: values.templates }),
    bundles: createFolderBundle(values.binaries),
    env: { ...process.env, MK_CI_NODE_IMAGE: values.image },
    digest: async (registry) => {
      const digest = await registry.get(values.driver).images?.identify(values.image, signal);
      if (digest === undefined) throw new Error(`${values.driver} has no image ${values.image}`);
      return `${digest} ${recipeDigest(spec)}`;
    },
    signal,
    room: () => ({ fits: true, isIdle: true }),
  });
  /** Sums the times of phases, by name. */
  const collectInto =
    (phases: Record<string, number>) =>
    ({ name, state, durationMs = 0 }: PhaseEvent): void => {
      if (state === 'ok') phases[name] = (phases[name] ?? 0) + Math.round(durationMs);
    };
  const measure = async (
    kind: Case,
    get: (onPhase: (event: PhaseEvent) => void) => Promise<RunningCluster>,
  ): Promise<Sample> => {
    const phases: Record<string, number> = {};
    const startedAt = performance.now();
    const sinceStart = (): number => Math.round(performance.now() - startedAt);
    const cluster = await get(collectInto(phases));
    const startMs = sinceStart();
    using client = await adminClient(clusterFolder(stateFolder, cluster.name), cluster.server);
    await waitForProbePod(client, signal);
    const podMs = sinceStart();
    const machine = await drivers.get(values.driver).machines?.attach(`${cluster.name}-control-plane`, signal);
    const { argv, input } = ASK_DNS_IN_NODE;
    await machine?.exec(argv, { input, signal });
    const sample = { startMs, podMs, dnsMs: sinceStart(), phases };
    say(`${kind}: ${JSON.stringify(sample)}`);
    return sample;
  };
  const take = async (kind: Case, source: ClusterSource): Promise<Sample> => {
    let lease: ClusterLease | undefined;
    try {
      return await measure(kind, async (onPhase) => {
        lease = await source.acquire(spec, 'fresh', { signal, onPhase });
        return lease.cluster;
      });
    } finally {
      await lease?.[Symbol.asyncDispose]();
    }
  };
  /** Of the first cluster, from which a template is made unless there is one. */
  const first: Record<string, number> = {};
  const takeFirst = async (source: ClusterSource): Promise<void> => {
    const lease = await source.acquire(spec, 'fresh', { signal, onPhase: collectInto(first) });
    say(`first: ${JSON.stringify(first)}`);
    await lease[Symbol.asyncDispose]();
  };
  const samples: Record<Case, Sample[]> = { cold: [], template: [], three: [], pool: [], frozen: [] };
  if (has('cold') || has('template') || has('three')) {
    await using source = openSource({ min: 0, max: 0 });
    await takeFirst(source);
    for (let round = 0; round < rounds; round += 1) {
      if (has('cold')) {
        const name = `bench-${round}`;
        try {
          samples.cold.push(
            await measure('cold', async (onPhase) => await manager.start({ ...spec, name }, { signal, onPhase })),
          );
        } finally {
          await manager.delete(name, { signal });
        }
      }
      if (has('template')) samples.template.push(await take('template', source));
      if (has('three')) {
        const taken = Array.from({ length: AT_ONCE }, async () => await take('three', source));
        samples.three.push(...(await allOf(taken)));
      }
    }
  }
  if (has('pool') || has('frozen')) {
    await using source = openSource({ min: 1, max: 1 });
    await takeFirst(source);
    for (let round = 0; has('pool') && round < rounds; round += 1) {
      await waitForFrozen();
      samples.pool.push(await take('pool', source));
    }
    if (has('frozen')) {
      await waitForFrozen();
      await delay(Number(values['frozen-seconds']) * 1000, undefined, { signal });
      samples.frozen.push(await take('frozen', source));
    }
  }

  const of = (kind: Case, key: 'startMs' | 'podMs' | 'dnsMs'): number =>
    median(samples[kind].map((sample) => sample[key]));
  const table = Object.fromEntries(
    CASES.filter(has).map((kind) => [
      kind,
      {
        n: samples[kind].length,
        startMs: of(kind, 'startMs'),
        podMs: of(kind, 'podMs'),
        dnsMs: of(kind, 'dnsMs'),
        ...(has('cold')
          ? {
              startToCold: ratio(of(kind, 'startMs'), of('cold', 'startMs')),
              podToCold: ratio(of(kind, 'podMs'), of('cold', 'podMs')),
            }
          : {}),
        phases: samples[kind].at(-1)?.phases,
      },
    ]),
  );
  const result = {
    what: `until a pod runs and DNS answers, driver ${values.driver}`,
    kubernetes: VERSION,
    nodes: spec.nodes,
    frozenSeconds: Number(values['frozen-seconds']),
    first,
    ...table,
  };
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
}

await main();
