/**
 * `mk-ci serve` under many readers, printed as JSON. Goal: 50 readers, p99 ≤ 100 ms on 10 million results.
 *
 *   npx tsx bench/serve.ts [results] [readers] [folder]     # default 10,000,000 results, 50 readers; after npm run build
 *
 * 400 tests in 20 environments as in bench/flake.ts. The server is another process. Each reader opens a page, looks at it for
 * a second (PAUSE_MS; 0 saturates the server) and opens the next: of tests mostly, some more often than others, environments, commits and the overview, half of them
 * with the tag of the answer they had. Three rounds: nothing kept yet, kept, and while another process records runs.
 * `cpuMsPerRequest` does not depend on what else the host does; the latencies do.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';

import { openFlakeStore } from '../src/flake/index.js';
import { createRandom } from '../src/flake/statistics/random.js';
import type { RunRecord } from '../src/flake/store/record.js';

const TESTS = 400;
const ENVIRONMENTS = 20;
const RUNS_A_DAY = 10;
const DAY_MS = 86_400_000;
const FIRST_DAY = Date.UTC(2025, 0, 1);

const total = Number(process.argv[2] ?? 10_000_000);
const readers = Number(process.argv[3] ?? 50);
const given = process.argv[4];
const pauseMs = Number(process.env['PAUSE_MS'] ?? 1_000);
const folder = given ?? mkdtempSync(join(tmpdir(), 'mk-ci-bench-'));
const path = join(folder, 'flake.db');
const runCount = Math.ceil(total / TESTS);

const names = Array.from(
  { length: TESTS },
  (_, index) => `TestFunctional/parallel/Case${String(index)}/with/a/usual/length`,
);
const shaOf = (slot: number): string => `${slot.toString(16).padStart(8, '0')}c0ffee00c0ffee00c0ffee00c0ffee00`;

/** A tenth of the tests are flaky, the others fail once in a thousand. */
function* runs(from: number, to: number): Generator<RunRecord> {
  const random = createRandom(from + 1);
  for (let number = from; number < to; number += 1) {
    const slot = Math.floor(number / ENVIRONMENTS);
    yield {
      uid: `o/r#${String(number)}`,
      repository: 'o/r',
      environment: `environment-${String(number % ENVIRONMENTS)}`,
      suite: 'e2e',
      commit: { sha: shaOf(slot) },
      url: `https://ci.example/${String(number)}`,
      startedAtMs: FIRST_DAY + Math.floor((slot * DAY_MS) / RUNS_A_DAY),
      durationMs: 1_800_000,
      complete: true,
      origin: 'bench',
      results: names.map((name, index) => {
        const failed = random() < (index % 10 === 0 ? 0.05 : 0.001);
        return {
          package: 'p',
          name,
          attempt: 1,
          status: failed ? ('failed' as const) : ('passed' as const),
          durationMs: Math.floor(random() * 60_000),
          ...(failed ? { failure: { message: `assertion ${String(Math.floor(random() * 50))} failed` } } : {}),
        };
      }),
    };
  }
}

/** Pages by how often people open them; tests of low numbers more than those of high ones. */
function addressOf(random: () => number): string {
  const kind = random();
  const environment = `environment-${String(Math.floor(random() ** 2 * ENVIRONMENTS))}`;
  if (kind < 0.1) return '/api/pages/overview';
  if (kind < 0.3) return `/api/pages/environment?${new URLSearchParams({ environment }).toString()}`;
  if (kind < 0.4) {
    const newest = Math.floor(runCount / ENVIRONMENTS);
    return `/api/pages/commit?commit=${shaOf(Math.max(0, newest - 1 - Math.floor(random() * 30)))}`;
  }
  const test = names[Math.floor(random() ** 3 * TESTS)] ?? '';
  return `/api/pages/test?${new URLSearchParams({ repository: 'o/r', environment, package: 'p', test }).toString()}`;
}

interface Sample {
  readonly ms: number;
  readonly status: number;
  readonly kind: string;
}

const agent = new Agent({ keepAlive: true, maxSockets: readers });

async function get(
  base: string,
  address: string,
  etag: string | undefined,
): Promise<{ status: number; etag: string | undefined }> {
  return await new Promise((resolve, reject) => {
    const headers = { 'accept-encoding': 'gzip', ...(etag === undefined ? {} : { 'if-none-match': etag }) };
    const sent = request(new URL(address, base), { agent, headers }, (response) => {
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, etag: response.headers.etag });
      });
      response.on('error', reject).resume();
    })
      .on('error', (error) => {
        // The server may close an idle connection in the moment in which it is used again.
        if (sent.reusedSocket) get(base, address, etag).then(resolve, reject);
        else reject(error);
      })
      .end();
  });
}

async function round(base: string, seconds: number, seed: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  const until = performance.now() + seconds * 1000;
  await Promise.all(
    Array.from({ length: readers }, async (_, reader) => {
      const random = createRandom(seed * 1000 + reader);
      for (let warm = 0; warm < 10; warm += 1) random();
      const tags = new Map<string, string>();
      const pause = async (): Promise<void> => {
        if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs * (0.5 + random())));
      };
      await pause();
      while (performance.now() < until) {
        const address = addressOf(random);
        const since = performance.now();
        const { status, etag } = await get(base, address, random() < 0.5 ? tags.get(address) : undefined);
        if (etag !== undefined) tags.set(address, etag);
        samples.push({ ms: performance.now() - since, status, kind: /pages\/(\w+)/.exec(address)?.[1] ?? '' });
        await pause();
      }
    }),
  );
  return samples;
}

function percentiles(samples: readonly Sample[]) {
  const sorted = samples.map(({ ms }) => ms).sort((left, right) => left - right);
  const at = (share: number): number =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN) * 10) / 10;
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

/** User and system time of a process in ms, with its threads. */
function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function measure(base: string, pid: number, seconds: number, seed: number) {
  const cpuBefore = cpuMsOf(pid);
  const samples = await round(base, seconds, seed);
  const cpuMs = cpuMsOf(pid) - cpuBefore;
  const failed = samples.filter(({ status }) => status !== 200 && status !== 304).length;
  return {
    requests: samples.length,
    failed,
    notModified: samples.filter(({ status }) => status === 304).length,
    ...percentiles(samples),
    cpuMsPerRequest: Math.round((cpuMs / samples.length) * 100) / 100,
    p99MsByPage: Object.fromEntries(
      [...new Set(samples.map(({ kind }) => kind))]
        .sort()
        .map((kind) => [kind, percentiles(samples.filter((sample) => sample.kind === kind)).p99Ms]),
    ),
  };
}

let child: ReturnType<typeof spawn> | undefined;
try {
  if (!existsSync(path)) {
    const store = await openFlakeStore(path);
    await store.write(runs(0, runCount), { rollup: 'deferred' });
    await store.rebuildRollup();
    await store.close();
  }
  const program = join(import.meta.dirname, '..', 'bin', 'mk-ci.js');
  const server = spawn(process.execPath, [program, 'serve', '--database', path, '--listen', '127.0.0.1:0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child = server;
  const base = await new Promise<string>((resolve, reject) => {
    server.stdout.once('data', (piece: Buffer) => {
      resolve(piece.toString().trim());
    });
    server.once('exit', () => {
      reject(new Error('the server ended'));
    });
  });
  const pid = server.pid ?? 0;
  const alone: Record<string, number> = {};
  for (const kind of ['overview', 'environment', 'test', 'commit']) {
    const random = createRandom(99);
    let address = '';
    while (!address.includes(`/${kind}`)) address = addressOf(random);
    const since = performance.now();
    await get(base, address, undefined);
    alone[kind] = Math.round((performance.now() - since) * 10) / 10;
  }
  const first = await measure(base, pid, 20, 1);
  const kept = await measure(base, pid, 20, 2);
  const store = await openFlakeStore(path);
  let recorded = 0;
  let recording = true;
  // A run every two seconds: 400 results each, more than a fleet of 20 environments records.
  const writing = (async () => {
    for (const run of runs(runCount, runCount + 1_000)) {
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- changed by the measurement below
      if (!recording) break;
      await store.write([{ ...run, uid: `${run.uid}/${String(Date.now())}` }]);
      recorded += 1;
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  })();
  const whileRecording = await measure(base, pid, 20, 3);
  recording = false;
  await writing;
  await store.close();
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1];
  console.log(
    JSON.stringify(
      {
        node: process.version,
        results: runCount * TESTS,
        databaseMB: Math.round(statSync(path).size / 1e6),
        readers,
        pauseMs,
        loadAverage: loadavg().map((load) => Math.round(load * 10) / 10),
        aloneMs: alone,
        first,
        kept,
        whileRecording: { recordedRuns: recorded, ...whileRecording },
        serverPeakMiB: Math.round(Number(peak) / 1024),
      },
      null,
      2,
    ),
  );
} finally {
  agent.destroy();
  child?.kill('SIGTERM');
  if (given === undefined) rmSync(folder, { recursive: true, force: true });
}
