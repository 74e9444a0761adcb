import type { RunEvent } from '../../results/events.js';
import { encodeFrame } from './frames.js';
import type { JobApi } from './jobs.js';
import { POD_RETRIES } from './manifest.js';
import type { EngineJob, EnginePod } from './pods.js';

/** What a pod does: the lines of its log, and how it ends. */
export interface PodScript {
  readonly log: readonly string[];
  /** `deleted`: it vanishes. @default 'Succeeded' */
  readonly ends?: 'Succeeded' | 'Failed' | 'deleted' | 'never';
  readonly waiting?: EnginePod['waiting'];
}

/** A cluster that runs Indexed Jobs as far as the engine can see, for tests. Counts what is asked of it. */
export interface FakeJobApi extends JobApi {
  readonly calls: string[];
  readonly bodies: object[];
}

/** @param scriptOf what the n-th pod (from 1) of an index does */
export function createFakeJobApi(
  scriptOf: (index: number, nth: number) => PodScript,
  options: { readonly silentLooks?: number } = {},
): FakeJobApi {
  const calls: string[] = [];
  const bodies: object[] = [];
  const pods = new Map<string, EnginePod & { readonly script: PodScript; isHeard: boolean }>();
  let job: EngineJob | undefined;
  let count = 0;
  let made = 0;
  let silent = options.silentLooks ?? 0;

  /** What controllers do between two looks: pods end once their log was read, lost ones are made again. */
  const step = (): void => {
    if (job === undefined) return;
    for (const [name, pod] of pods) {
      const ends = pod.script.ends ?? 'Succeeded';
      if (!pod.isHeard || ends === 'never') continue;
      if (ends === 'deleted') pods.delete(name);
      else pods.set(name, { ...pod, phase: ends, ended: ends });
    }
    for (let index = 0; index < count; index += 1) {
      const mine = [...pods.values()].filter((pod) => pod.index === index);
      const tries = triesOf(index);
      if (mine.some(({ phase }) => phase !== 'Failed')) continue;
      if (tries > POD_RETRIES) {
        job = { ...job, failedIndexes: [...new Set([...job.failedIndexes, index])] };
        continue;
      }
      made += 1;
      tried.set(index, tries + 1);
      const script = scriptOf(index, tries + 1);
      const name = `pod-${index}-${tries + 1}`;
      pods.set(name, {
        name,
        uid: name,
        index,
        createdAt: new Date(1_700_000_000_000 + made * 1000).toISOString(),
        phase: script.waiting === undefined ? 'Running' : 'Pending',
        node: 'n1',
        ...(script.waiting === undefined ? {} : { waiting: script.waiting }),
        script,
        isHeard: false,
      });
    }
  };
  let remove = (): void => undefined;
  const removed = new Promise<void>((resolve) => {
    remove = resolve;
  });
  const tried = new Map<number, number>();
  const triesOf = (index: number): number => tried.get(index) ?? 0;

  return {
    calls,
    bodies,
    createJob: async (body) => {
      calls.push('create job');
      bodies.push(body);
      count = (body as { readonly spec: { readonly completions: number } }).spec.completions;
      job = { uid: 'job-uid', failedIndexes: [] };
      return job.uid;
    },
    createSecret: async (body) => {
      calls.push('create secret');
      bodies.push(body);
    },
    readJob: async () => {
      if (silent > 0) {
        silent -= 1;
        throw new Error('no answer');
      }
      step();
      return job;
    },
    listPods: async () => [...pods.values()].map(({ script: _, isHeard: __, ...pod }) => pod),
    followLog: async function* (name) {
      const pod = pods.get(name);
      if (pod === undefined) throw new Error('HTTP 404');
      for (const line of pod.script.log) yield Buffer.from(`${line}\n`);
      pod.isHeard = true;
      if (pod.script.ends !== 'never') return;
      await removed;
    },
    deleteJob: async () => {
      calls.push('delete job');
      job = undefined;
      pods.clear();
      remove();
    },
  };
}

/** The log of a pod that leaves these events, and one file, in its folder. */
export function podLog(events: readonly RunEvent[], cell: string, isWhole: boolean): string[] {
  const record = Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  const log = {
    kind: 'data',
    path: `cells/${cell}/attempt-1/stdout.log`,
    offset: 0,
    bytes: Buffer.from('out'),
  } as const;
  return [
    'a line for people',
    encodeFrame(1, { kind: 'data', path: 'events.jsonl', offset: 0, bytes: record }),
    encodeFrame(2, log),
    ...(isWhole ? [encodeFrame(3, { kind: 'end', end: { isWhole, problems: [] } })] : []),
  ];
}
