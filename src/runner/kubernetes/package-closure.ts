import { readFile, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A package of npm as it is installed here. */
export interface InstalledPackage {
  readonly name: string;
  readonly folder: string;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/**
 * The packages that one needs to run, wherever npm put them, found as Node.js finds them: in the `node_modules` of its folder
 * and of those above.
 *
 * Two that need different versions of a third are each given theirs: its path below the folder of the one that needs it.
 *
 * @param folder of the package itself
 * @returns installed packages by path below a `node_modules`, such as `a` or `a/node_modules/b`
 * @throws {Error} for a dependency that is not installed
 */
export async function packageClosure(folder: string): Promise<ReadonlyMap<string, InstalledPackage>> {
  const placed = new Map<string, InstalledPackage>();
  const queue: { readonly folder: string; readonly chain: readonly string[] }[] = [{ folder, chain: [] }];
  // Breadth first: all that one needs has its place before those are asked what they need, so nothing is put in between later.
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { dependencies = {}, optionalDependencies = {} } = await readManifest(next.folder);
    for (const name of new Set([...Object.keys(dependencies), ...Object.keys(optionalDependencies)])) {
      const found = await findPackage(name, next.folder);
      if (found === undefined) {
        if (name in optionalDependencies) continue;
        throw new Error(`${name}, which ${next.folder} needs, is not installed`);
      }
      const path = placeFor(name, found, next.chain, placed);
      if (path === undefined) continue;
      placed.set(path, { name, folder: found });
      queue.push({ folder: found, chain: path.split(BELOW) });
    }
  }
  return placed;
}

const BELOW = '/node_modules/';

/** At the top where the name is free, else inside of who needs it; `undefined` where it is found already. */
function placeFor(
  name: string,
  folder: string,
  chain: readonly string[],
  placed: ReadonlyMap<string, InstalledPackage>,
): string | undefined {
  const paths = [[], ...chain.map((_, at) => chain.slice(0, at + 1))].map((above) => [...above, name].join(BELOW));
  const nearest = paths.findLast((path) => placed.has(path));
  if (nearest === undefined) return name;
  return placed.get(nearest)?.folder === folder ? undefined : paths.at(-1);
}

async function findPackage(name: string, from: string): Promise<string | undefined> {
  for (let at = from; ; at = dirname(at)) {
    const candidate = join(at, 'node_modules', name);
    // What pnpm links is asked for its own needs where it really lies.
    if (await hasManifest(candidate)) return await realpath(candidate);
    if (dirname(at) === at) return undefined;
  }
}

async function hasManifest(folder: string): Promise<boolean> {
  return await readFile(join(folder, 'package.json')).then(
    () => true,
    () => false,
  );
}

async function readManifest(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest;
}
