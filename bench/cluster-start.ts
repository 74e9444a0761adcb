/**
 * How fast clusters of the `local` driver come up, beside kwokctl's binary runtime with the same programs, on this host in
 * one run. Prints JSON; only the ratios mean something on another host.
 *
 *     npm run build
 *     npx tsx bench/cluster-start.ts --binaries FOLDER [--kwokctl PATH] [--rounds 3] [--parallel 1,4,8]
 *
 * FOLDER (or MK_CI_BENCH_BINARIES) holds etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and kwok.
 * Everything is made in a temporary folder and removed again.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { createFolderBundle } from '../src/cluster/bundle/folder-bundle.js';
import type { ClusterLease, PhaseEvent } from '../src/cluster/cluster.js';
import { exec, type Argv } from '../src/exec.js';
import { createTemporaryFolder } from '../src/files.js';
import { VERSION, openBenchClusters, say } from './clusters.js';
import { ratio, timed, timing, type Timing } from './samples.js';

const { values } = parseArgs({
  options: {
    binaries: { type: 'string', default: process.env['MK_CI_BENCH_BINARIES'] ?? '' },
    kwokctl: { type: 'string', default: process.env['MK_CI_BENCH_KWOKCTL'] ?? '' },
    rounds: { type: 'string', default: '3' },
    parallel: { type: 'string', default: '1,4,8' },
    nodes: { type: 'string', default: '1' },
  },
});

async function main(): Promise<void> {
  const rounds = Number(values.rounds);
  await using temporary = await createTemporaryFolder('mk-ci-bench-');
  const { signal } = new AbortController();
  const bundles = createFolderBundle(values.binaries);
  const { manager, openSource, waitForFrozen } = openBenchClusters({
    folder: temporary.path,
    bundles,
    env: process.env,
    digest: async () => (await bundles.ensure(VERSION, { parts: ['control-plane'], signal })).digest,
    signal,
  });
  const spec = { driver: 'local', kubernetesVersion: VERSION, nodes: Number(values.nodes) };

  const start = async (name: string, phases?: Map<string, number[]>): Promise<number> => {
    const onPhase = ({ name: phase, state, durationMs = 0 }: PhaseEvent): void => {
      if (state === 'ok') phases?.set(phase, [...(phases.get(phase) ?? []), durationMs]);
    };
    return (await timed(() => manager.start({ ...spec, name }, { signal, onPhase })))[1];
  };

  // One cluster at a time, and its peer, in turns: what else the host does meets both.
  const cold: number[] = [];
  const coldPhases = new Map<string, number[]>();
  const kwok: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    cold.push(await start('bench', coldPhases));
    await manager.delete('bench', { signal });
    if (values.kwokctl !== '') kwok.push(await kwokctl(temporary.path, `b${round}`));
    say(`round ${round + 1}: mk-ci ${Math.round(cold.at(-1) ?? 0)} ms, kwokctl ${Math.round(kwok.at(-1) ?? 0)} ms`);
  }

  const parallel: Record<string, Timing> = {};
  for (const count of values.parallel.split(',').map(Number)) {
    const names = Array.from({ length: count }, (_, index) => `p${count}-${index}`);
    const [, elapsedMs] = await timed(() => Promise.all(names.map((name) => start(name))));
    parallel[String(count)] = timing([elapsedMs]);
    await Promise.all(names.map((name) => manager.delete(name, { signal })));
    say(`${count} in parallel: ${Math.round(elapsedMs)} ms`);
  }

  const giveBack = async (lease: ClusterLease): Promise<void> => {
    await lease[Symbol.asyncDispose]();
  };

  const templatePhases = new Map<string, number[]>();
  const fromTemplate: number[] = [];
  let makingTemplateMs: number;
  {
    await using source = openSource({ min: 0, max: 0 });
    const [first, firstMs] = await timed(() => source.acquire(spec, 'fresh', { signal }));
    makingTemplateMs = firstMs;
    await giveBack(first);
    for (let round = 0; round < rounds; round += 1) {
      const onPhase = ({ name, state, durationMs = 0 }: PhaseEvent): void => {
        if (state === 'ok') templatePhases.set(name, [...(templatePhases.get(name) ?? []), durationMs]);
      };
      const [lease, elapsedMs] = await timed(() => source.acquire(spec, 'fresh', { signal, onPhase }));
      fromTemplate.push(elapsedMs);
      await giveBack(lease);
      say(`from template: ${Math.round(elapsedMs)} ms`);
    }
  }

  const fromPool: number[] = [];
  {
    await using source = openSource({ min: 1, max: 1 });
    await giveBack(await source.acquire(spec, 'fresh', { signal }));
    for (let round = 0; round < rounds; round += 1) {
      await waitForFrozen();
      const [lease, elapsedMs] = await timed(() => source.acquire(spec, 'fresh', { signal }));
      fromPool.push(elapsedMs);
      await giveBack(lease);
      say(`from pool: ${Math.round(elapsedMs)} ms`);
    }
  }

  const coldTiming = timing(cold);
  const phasesOf = (phases: ReadonlyMap<string, number[]>): Record<string, number> =>
    Object.fromEntries([...phases].map(([name, samples]) => [name, timing(samples).medianMs]));
  const result = {
    what: 'cluster start, driver local',
    kubernetes: VERSION,
    nodes: spec.nodes,
    cold: { ...coldTiming, phases: phasesOf(coldPhases) },
    ...(kwok.length === 0 ? {} : { kwokctl: timing(kwok) }),
    parallel,
    firstWithTemplateMs: Math.round(makingTemplateMs),
    fromTemplate: { ...timing(fromTemplate), phases: phasesOf(templatePhases) },
    fromPool: timing(fromPool),
    ratios: {
      coldToKwokctl: ratio(coldTiming.medianMs, kwok.length === 0 ? undefined : timing(kwok).medianMs),
      fourToOne: ratio(parallel['4']?.medianMs, parallel['1']?.medianMs),
      eightToOne: ratio(parallel['8']?.medianMs, parallel['1']?.medianMs),
      templateToCold: ratio(timing(fromTemplate).medianMs, coldTiming.medianMs),
      poolToCold: ratio(timing(fromPool).medianMs, coldTiming.medianMs),
    },
  };
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
}

/** From the command's start until the `default` ServiceAccount exists, which is what `cluster start` waits for too. */
async function kwokctl(folder: string, name: string): Promise<number> {
  const binary = (program: string): string => join(values.binaries, program);
  const path = `${values.binaries}:${process.env['PATH'] ?? ''}`;
  const env = {
    ...process.env,
    PATH: path,
    HOME: folder,
    KWOK_WORKDIR: join(folder, 'kwok'),
    KWOK_KUBE_VERSION: VERSION,
  };
  const kubeconfig = join(folder, `kwok-${name}.kubeconfig`);
  const [, elapsedMs] = await timed(async () => {
    await exec(
      [
        values.kwokctl,
        ...['create', 'cluster', '--name', name, '--runtime', 'binary', '--wait', '60s'],
        ...['--etcd-binary', binary('etcd'), '--kube-apiserver-binary', binary('kube-apiserver')],
        ...['--kube-controller-manager-binary', binary('kube-controller-manager')],
        ...['--kube-scheduler-binary', binary('kube-scheduler'), '--kwok-controller-binary', binary('kwok')],
        ...['--kubeconfig', kubeconfig],
      ],
      { env, timeoutMs: 120_000 },
    );
    if (values.nodes !== '0') {
      await exec([values.kwokctl, 'scale', 'node', '--name', name, '--replicas', values.nodes], { env });
    }
    const get: Argv = [binary('kubectl'), '--kubeconfig', kubeconfig, 'get', 'serviceaccount', 'default'];
    while ((await exec(get, { env, allowFailure: true })).exitCode !== 0);
  });
  await exec([values.kwokctl, 'delete', 'cluster', '--name', name, '--kubeconfig', kubeconfig], { env });
  return elapsedMs;
}

await main();
