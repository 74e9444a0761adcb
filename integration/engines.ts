import { mkdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { createDriverRegistry } from '../src/drivers/index.js';
import { exec } from '../src/exec.js';
import { foldersOf } from '../src/files.js';
import { mkCi, ROOT } from './mk-ci.js';

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
