import { mkdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { ClusterStatus } from '../src/cluster/cluster.js';
import { createDriverRegistry } from '../src/drivers/index.js';
import { exec, type ExecResult } from '../src/exec.js';
import { createTemporaryFolder, foldersOf } from '../src/files.js';
import { mkCi, ROOT } from './mk-ci.js';

/** The engine that clusters of the tests run in: `MK_CI_TEST_ENGINE`, docker where it is not set. */
export const TEST_ENGINE = process.env['MK_CI_TEST_ENGINE'] === 'podman' ? 'podman' : 'docker';

/** A node image in an engine, or the plain word why there is none. */
export type FoundNodeImage = { readonly reference: string } | { readonly missing: string };

/** What a host may lack without being at fault. */
const LACKS = ['IMG_NO_ENGINE', 'IMG_NO_MIRROR', 'HOST_MISSING_TOOL', 'NET_UNREACHABLE', 'BND_NO_SOURCE'];

/** Takes the node image from the cache into the engine; makes it when there is none, which takes minutes once. */
export async function findNodeImage(engine: 'docker' | 'podman'): Promise<FoundNodeImage> {
  const health = await createDriverRegistry({ exec }).get(engine).check(AbortSignal.timeout(60_000));
  if (!health.usable) return { missing: health.problems.map(({ message }) => message).join('; ') };
  const made = await mkCi(['node-image', 'build', '--engine', engine, '--json'], { cwd: ROOT, timeoutMs: 45 * 60_000 });
  if (made.exitCode === 0) return { reference: (JSON.parse(made.stdout) as { reference: string }).reference };
  const lack = LACKS.find((code) => made.stderr.includes(code));
  if (lack === undefined) throw new Error(`no node image could be made:\n${made.stderr}`);
  return { missing: `no node image: ${made.stderr.trim().split('\n').at(-1) ?? lack}` };
}

/** A suite that needs a node image: without one it is skipped, with the word why. @param define is given the image */
export function describeWithNodeImage(
  title: string,
  found: FoundNodeImage,
  define: (reference: string) => void | Promise<void>,
): void {
  describe(title, async () => {
    if ('missing' in found) it.skip(found.missing);
    else await define(found.reference);
  });
}

/** mk-ci in a folder and with a home of its own; disposing it removes every cluster of that home. */
export interface ClusterRig extends AsyncDisposable {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  run(...args: string[]): Promise<ExecResult>;
  /** @returns standard output */
  succeed(...args: string[]): Promise<string>;
  /** @param name of a cluster */
  status(name: string): Promise<ClusterStatus>;
  /** Neither mk-ci nor the engine has anything left. */
  expectNothingLeft(): Promise<void>;
}

export interface ClusterRigOptions {
  /** @default {@link makeHome} */
  readonly makeHomeIn?: (folder: string) => Promise<string>;
  /** Of one call. @default nine minutes */
  readonly timeoutMs?: number;
}

export async function createClusterRig(
  engine: 'docker' | 'podman',
  { makeHomeIn = makeHome, timeoutMs = 9 * 60_000 }: ClusterRigOptions = {},
): Promise<ClusterRig> {
  const temporary = await createTemporaryFolder('mk-ci-clusters-');
  // What killed tests left elsewhere is not looked for.
  const env = { ...process.env, MK_CI_HOME: await makeHomeIn(temporary.path), TMPDIR: temporary.path };
  const run: ClusterRig['run'] = async (...args) => await mkCi(args, { cwd: temporary.path, env, timeoutMs });
  const succeed: ClusterRig['succeed'] = async (...args) => {
    const { exitCode, stdout, stderr } = await run(...args);
    expect(exitCode, `mk-ci ${args.join(' ')}\n${stdout}\n${stderr}`).toBe(0);
    return stdout;
  };
  return {
    folder: temporary.path,
    env,
    run,
    succeed,
    status: async (name) => JSON.parse(await succeed('cluster', 'status', name, '--json')) as ClusterStatus,
    expectNothingLeft: async () => {
      expect(await succeed('gc')).toContain('nothing to remove');
      expect(await listThings(engine)).toEqual([]);
    },
    [Symbol.asyncDispose]: async () => {
      await run('gc', '--yes');
      await temporary[Symbol.asyncDispose]();
    },
  };
}

/** The same for a suite: made before its first test, disposed after the last. */
export function useClusterRig(
  engine: 'docker' | 'podman',
  options: ClusterRigOptions = {},
): Omit<ClusterRig, typeof Symbol.asyncDispose> {
  let made: ClusterRig | undefined;
  const rig = (): ClusterRig => {
    if (made === undefined) throw new Error('the rig is there within tests only');
    return made;
  };
  beforeAll(async () => {
    made = await createClusterRig(engine, options);
  });
  afterAll(async () => {
    await made?.[Symbol.asyncDispose]();
  });
  return {
    get folder() {
      return rig().folder;
    },
    get env() {
      return rig().env;
    },
    run: async (...args) => await rig().run(...args),
    succeed: async (...args) => await rig().succeed(...args),
    status: async (name) => await rig().status(name),
    expectNothingLeft: async () => {
      await rig().expectNothingLeft();
    },
  };
}

/** A home of its own for state, over the cache of this user. */
export async function makeHome(folder: string): Promise<string> {
  const home = join(folder, 'home');
  await mkdir(home, { recursive: true });
  const { cache } = foldersOf(process.env);
  await mkdir(dirname(cache), { recursive: true });
  await symlink(cache, join(home, 'cache'));
  return home;
}

/** Everything of clusters that an engine holds, by name. */
export async function listThings(engine: 'docker' | 'podman'): Promise<string[]> {
  const kinds = [
    ['ps', '-a', '--format', '{{.Names}}'],
    ['volume', 'ls', '--format', '{{.Name}}'],
    ['network', 'ls', '--format', '{{.Name}}'],
  ] as const;
  const found = await Promise.all(
    kinds.map(
      async ([kind, ...args]) => (await exec([engine, kind, ...args, '--filter', 'label=mk-ci.machine'])).stdout,
    ),
  );
  return found.flatMap((text) => text.split('\n').filter((line) => line !== ''));
}
