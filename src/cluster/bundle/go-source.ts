import { join } from 'node:path';

import PQueue from 'p-queue';

import { messageOf } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { BundleProgram } from './bundle.js';
import { COMPONENTS, type Component, type ProgramDefinition } from './catalogue.js';
import { buildGoPrograms, GoUnavailable } from './go-build.js';
import { hashFile } from './hash-file.js';
import { megabytes } from './release-source.js';
import type { ProgramSource, SourceContext } from './source.js';

export interface GoSourceOptions {
  readonly exec: Exec;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Components built at a time. */
  readonly jobs: number;
}

/**
 * Components to build at a time. One `go build` keeps all cores busy while it compiles, but linking is mostly one thread
 * for each program and fetching modules is none; a second one fills those gaps. On fewer than four cores it only adds
 * memory.
 */
export function goJobs(cores: number): number {
  return cores >= 4 ? 2 : 1;
}

/** Builds programs from the Go modules that the projects publish. */
export function createGoSource({ exec, env, jobs }: GoSourceOptions): ProgramSource {
  return {
    name: 'Go modules',
    obtain: async (programs, context) => {
      const reasons = new Map<BundleProgram, string>();
      const components = [...new Set(programs.map(({ component }) => component))].filter(
        (component) => COMPONENTS[component].go !== undefined,
      );
      for (const { name, component } of programs) {
        if (COMPONENTS[component].go === undefined) reasons.set(name, 'has no module');
      }
      const queue = new PQueue({ concurrency: jobs });
      // The first failure ends the other builds; what they finished is kept.
      const stop = new AbortController();
      const signal = AbortSignal.any([context.signal, stop.signal]);
      const failures: unknown[] = [];
      await Promise.all(
        components.map((component) =>
          queue.add(async () => {
            if (signal.aborted) return;
            const wanted = programs.filter((program) => program.component === component);
            try {
              const reason = await buildComponent(component, wanted, { exec, env }, { ...context, signal });
              if (reason !== undefined) for (const { name } of wanted) reasons.set(name, reason);
            } catch (error) {
              failures.push(error);
              stop.abort(error);
            }
          }),
        ),
      );
      context.signal.throwIfAborted();
      if (failures.length > 0) throw failures[0];
      return reasons;
    },
  };
}

async function buildComponent(
  component: Component,
  programs: readonly ProgramDefinition[],
  { exec, env }: Pick<GoSourceOptions, 'exec' | 'env'>,
  context: SourceContext,
): Promise<string | undefined> {
  const { title, versionFor, go } = COMPONENTS[component];
  const { platform, signal, onStep, folders } = context;
  const version = versionFor(context.kubernetesVersion);
  const step = `${title} ${version}`;
  const startedAt = performance.now();
  if (go === undefined) return 'has no module';
  onStep({ name: step, state: 'started', message: `building from ${go.module}@${version}` });
  try {
    const paths = await buildGoPrograms({
      exec,
      env,
      component: COMPONENTS[component],
      version,
      platform,
      programs,
      workFolder: join(context.workFolder, `go-${component}`),
      logFile: join(folders.logs, `${component}-${version}.log`),
      signal,
      onProgress: (progress) => {
        onStep({ name: step, state: 'progress', ...progress });
      },
    });
    let sizeBytes = 0;
    for (const program of programs) {
      const path = paths.get(program.name);
      if (path === undefined) throw new Error(`go build left no ${program.name}`);
      const facts = await hashFile(path, signal);
      sizeBytes += facts.sizeBytes;
      const source = { kind: 'go', location: `${go.module}@${version}` } as const;
      await context.keep({ program, version, path, ...facts, source });
    }
    const names = programs.map(({ name }) => name).join(', ');
    onStep({
      name: step,
      state: 'ok',
      durationMs: performance.now() - startedAt,
      message: `${names} built from Go modules, ${megabytes(sizeBytes)}`,
    });
    return undefined;
  } catch (error) {
    onStep({ name: step, state: 'failed', durationMs: performance.now() - startedAt, message: messageOf(error) });
    if (error instanceof GoUnavailable) return error.message;
    throw error;
  }
}
