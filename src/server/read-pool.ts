import { Worker } from 'node:worker_threads';

import { ERROR_CATALOGUE, MkCiError, type ErrorCode } from '../errors.js';
import { READ_ROUTES } from './api.js';

/** Reads answers of {@link READ_ROUTES} in threads of their own: SQLite holds up the thread in which it reads. */
export interface ReadPool extends AsyncDisposable {
  /**
   * @param path of a route
   * @param query as that route takes it
   * @param part of the answer, by its place in the route
   * @returns text of the part
   * @throws {MkCiError} what the route throws; `Error` when the thread ended
   */
  readonly read: (path: string, query: unknown, part?: number) => Promise<string>;
}

export interface ReadPoolOptions {
  /** File of the database. */
  readonly location: string;
  /** Threads, started when they are first needed; each has a connection and some 40 MB. */
  readonly threads: number;
}

export interface ReadWorkerData {
  readonly location: string;
}

export interface ReadRequest {
  readonly path: string;
  readonly query: unknown;
  readonly part: number;
}

export type ReadReply =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'error';
      readonly code: ErrorCode;
      readonly message: string;
      readonly advice: string;
      readonly details: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'bug'; readonly message: string };

interface Job {
  readonly request: ReadRequest;
  readonly environment: string | undefined;
  readonly resolve: (text: string) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Requests are read in the order in which they came, each by a thread that is free. Of several that is one that has read of
 * the environment before, and remembers its runs; else the one that has waited longest.
 */
export function createReadPool({ location, threads }: ReadPoolOptions): ReadPool {
  const waiting: Job[] = [];
  const idle: Worker[] = [];
  const busy = new Map<Worker, Job>();
  const environmentsOf = new WeakMap<Worker, Set<string>>();
  let isClosed = false;

  const start = (): Worker => {
    const worker = startWorker({ location });
    environmentsOf.set(worker, new Set());
    worker.on('message', (reply: ReadReply) => {
      const job = busy.get(worker);
      busy.delete(worker);
      idle.push(worker);
      // Not what somebody made up: there is no answer of it.
      if (job?.environment !== undefined && reply.kind === 'text') environmentsOf.get(worker)?.add(job.environment);
      if (job !== undefined) settle(job, reply);
      giveOut();
    });
    const onEnd = (error: Error): void => {
      const job = busy.get(worker);
      busy.delete(worker);
      const at = idle.indexOf(worker);
      if (at >= 0) idle.splice(at, 1);
      job?.reject(error);
      if (!isClosed) giveOut();
    };
    worker.once('error', onEnd);
    worker.once('exit', () => {
      onEnd(new Error('a thread that reads the database ended'));
    });
    return worker;
  };

  const takeIdle = ({ environment = '' }: Job): Worker | undefined => {
    const knows = idle.findIndex((worker) => environmentsOf.get(worker)?.has(environment));
    return idle.splice(Math.max(0, knows), 1)[0];
  };

  const giveOut = (): void => {
    for (let job = waiting[0]; job !== undefined; job = waiting[0]) {
      const worker = takeIdle(job) ?? (busy.size < threads ? start() : undefined);
      if (worker === undefined) return;
      waiting.shift();
      busy.set(worker, job);
      worker.postMessage(job.request);
    }
  };

  return {
    read: async (path, query, part = 0) => {
      const environment = READ_ROUTES.find((route) => route.path === path)?.parts[part]?.environment?.(query);
      return await new Promise<string>((resolve, reject) => {
        waiting.push({ request: { path, query, part }, environment, resolve, reject });
        giveOut();
      });
    },
    [Symbol.asyncDispose]: async () => {
      isClosed = true;
      const ended = new Error('the server ends');
      for (const job of waiting.splice(0)) job.reject(ended);
      await Promise.all([...idle, ...busy.keys()].map(async (worker) => await worker.terminate()));
    },
  };
}

function settle({ resolve, reject }: Job, reply: ReadReply): void {
  switch (reply.kind) {
    case 'text':
      resolve(reply.text);
      return;
    case 'bug':
      reject(new Error(reply.message));
      return;
    case 'error': {
      const { code, message, advice, details } = reply;
      const occasion = message.slice(ERROR_CATALOGUE[code].summary.length + 2);
      reject(new MkCiError(code, { ...(occasion === '' ? {} : { message: occasion }), advice, details }));
      return;
    }
    default:
      reply satisfies never;
  }
}

function startWorker(data: ReadWorkerData): Worker {
  const file = (extension: string): URL => new URL(`./read-worker.${extension}`, import.meta.url);
  if (!import.meta.url.endsWith('.ts')) return new Worker(file('js'), { workerData: data });
  // In a source tree the thread first needs what compiles it.
  const compiled = `import('tsx/esm/api').then(({ register }) => (register(), import(${JSON.stringify(file('ts').href)})))`;
  return new Worker(compiled, { eval: true, workerData: data });
}
