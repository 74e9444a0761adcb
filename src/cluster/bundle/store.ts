import { stat } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';

import { hostErrorOf, MkCiError, systemErrorCode } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { Logger } from '../../log.js';
import { VERSION } from '../../version.js';
import { assembleBundle, type Ingredient } from './assemble.js';
import type { Bundle, BundlePart, BundleProgram, BundleStore, EnsureBundleOptions } from './bundle.js';
import {
  checkQuickly,
  listCached,
  verifyCached,
  type BundleProblem,
  type CachedBundle,
  type CacheEntry,
} from './cached-bundles.js';
import {
  COMPONENTS,
  formatPlatform,
  parseKubernetesVersion,
  pathInBundle,
  platformOf,
  PROGRAMS,
  programsOf,
  type Platform,
  type ProgramDefinition,
} from './catalogue.js';
import { createContentReader } from './content.js';
import { dropFinished, findFinished, keepFinished, type FinishedEntry } from './finished-files.js';
import { createGoSource, goJobs } from './go-source.js';
import { hashFile } from './hash-file.js';
import { createHttpClient, type HttpClientOptions } from './http.js';
import { acquireLock } from './lock.js';
import { digestOf, holdsParts, isKnownPart, type ManifestFile } from './manifest.js';
import { createMirrorSource } from './mirror-source.js';
import { endOrphanedBuilds } from './orphans.js';
import { createOwnSource } from './own-source.js';
import { planBundle, type BundlePlan } from './plan.js';
import { PUBLIC_RELEASE_SERVERS, type ReleaseServers } from './release-layout.js';
import { createReleaseSource } from './release-source.js';
import { listDeletable, listPrunable, removeAll, type Removal } from './removal.js';
import { summariseReasons, type ProgramSource, type SourceContext } from './source.js';
import { bundleFolders, createWorkFolder, sweepWorkFolders, type BundleFolders } from './workspace.js';

/** Places besides the cache that programs may come from. */
export type SourceKind = 'mirror' | 'release' | 'go';

export interface BundleStoreOptions {
  /** `foldersOf(env).cache`; bundles lie in `bundles` below it. */
  readonly cacheFolder: string;
  readonly exec: Exec;
  readonly log: Logger;
  /** Proxies, Go's settings, `MK_CI_BUNDLE_FROM` (a mirror, when `from` is absent). */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Mirror: folder or `http(s)` address. */
  readonly from?: string | undefined;
  /** Relative mirrors are taken from here. @default process.cwd() */
  readonly cwd?: string;
  /** Sources to use, always in the order mirror, release, go. @default all */
  readonly sources?: readonly SourceKind[];
  /** @default PUBLIC_RELEASE_SERVERS */
  readonly releaseServers?: ReleaseServers;
  /** @default that of this process */
  readonly platform?: Platform;
  /** Time limits of requests. */
  readonly http?: Pick<HttpClientOptions, 'connectTimeoutMs' | 'silenceMs'>;
  /** @default number of cores of the host */
  readonly cores?: number;
}

export interface VerifiedBundle {
  readonly folder: string;
  readonly kubernetesVersion: string | undefined;
  readonly files: number;
  readonly problems: readonly BundleProblem[];
}

/** The store with what the command line needs beyond the contract. */
export interface ManagedBundleStore extends BundleStore {
  /** What {@link BundleStore.ensure} would do. */
  plan(kubernetesVersion: string, options: Pick<EnsureBundleOptions, 'parts'>): Promise<BundlePlan>;
  list(): Promise<readonly CacheEntry[]>;
  /** Reads every file of the bundles of a version, or of all. Does not throw for what it finds. */
  verify(
    kubernetesVersion: string | undefined,
    options: Pick<EnsureBundleOptions, 'signal' | 'onStep'>,
  ): Promise<readonly VerifiedBundle[]>;
  /** Removes the bundles of a version and its finished files. Clusters that run from it can not be started again. */
  delete(kubernetesVersion: string, options: { readonly dryRun: boolean }): Promise<readonly Removal[]>;
  /** Removes what a larger bundle replaced, what is broken, downloads broken off a week ago, leftovers of dead processes. */
  prune(options: { readonly dryRun: boolean }): Promise<readonly Removal[]>;
}

/**
 * Bundles in the cache folder, got from the sources when they are not there. Starts nothing and reads nothing until
 * asked.
 */
export function createBundleStore(options: BundleStoreOptions): ManagedBundleStore {
  const { cacheFolder, exec, log, env, cwd = process.cwd(), cores = cpus().length } = options;
  const folders = bundleFolders(cacheFolder);
  const from = options.from ?? env['MK_CI_BUNDLE_FROM'];
  const kinds = options.sources ?? ['mirror', 'release', 'go'];
  const platform = (): Platform => options.platform ?? platformOf(process.platform, process.arch);

  const createSources = (http: ReturnType<typeof createHttpClient>): ProgramSource[] => {
    const reader = createContentReader(http);
    const made: ProgramSource[] = [];
    if (kinds.includes('mirror') && from) made.push(createMirrorSource({ from, cwd, reader, exec }));
    if (kinds.includes('release'))
      made.push(createReleaseSource(reader, options.releaseServers ?? PUBLIC_RELEASE_SERVERS));
    if (kinds.includes('go'))
      made.push(createOwnSource({ exec, env }), createGoSource({ exec, env, jobs: goJobs(cores) }));
    return made;
  };
  const createHttp = (): ReturnType<typeof createHttpClient> =>
    createHttpClient({ env, userAgent: `mk-ci/${VERSION}`, ...options.http });

  const plan: ManagedBundleStore['plan'] = async (kubernetesVersion, { parts }) => {
    parseKubernetesVersion(kubernetesVersion);
    await using http = createHttp();
    const cached = await bestCached(folders, kubernetesVersion, platform());
    const finished: BundleProgram[] = [];
    for (const program of PROGRAMS) {
      const version = COMPONENTS[program.component].versionFor(kubernetesVersion);
      if (await findFinished(folders, { program, version, platform: platform() })) finished.push(program.name);
    }
    return planBundle({
      kubernetesVersion,
      platform: platform(),
      parts,
      cached: {
        parts: cached?.manifest.parts.filter(isKnownPart) ?? [],
        programs: programsIn(cached),
      },
      finished,
      sources: createSources(http).map(({ name }) => name),
    });
  };

  const findUsable = async (kubernetesVersion: string, ensure: EnsureBundleOptions): Promise<Bundle | undefined> => {
    for (const entry of await listCached(folders, { kubernetesVersion, platform: platform() })) {
      if (!('manifest' in entry) || !holdsParts(entry.manifest, ensure.parts)) continue;
      if ((await checkQuickly(entry, log, ensure.signal)) === 'usable') return bundleOf(entry, ensure.parts);
    }
    return undefined;
  };

  const make = async (kubernetesVersion: string, ensure: EnsureBundleOptions): Promise<Bundle> => {
    const { signal, onStep = () => undefined } = ensure;
    const host = platform();
    endOrphanedBuilds();
    await using work = await createWorkFolder(folders);
    const cached = await bestCached(folders, kubernetesVersion, host);
    const parts = [...new Set([...ensure.parts, ...(cached?.manifest.parts.filter(isKnownPart) ?? [])])];
    const ingredients = new Map<BundleProgram, Ingredient>();
    const addFinished = (program: ProgramDefinition, version: string, path: string, entry: FinishedEntry): void => {
      ingredients.set(program.name, { from: path, file: describe(program, version, entry) });
    };

    for (const program of programsOf(parts)) {
      const file = cached?.manifest.files.find(({ name }) => name === program.name);
      const inBundle = file && cached && join(cached.folder, file.path);
      if (file && inBundle && (await isIntact(inBundle, file, signal))) {
        ingredients.set(program.name, { from: inBundle, file });
        continue;
      }
      const key = { program, version: COMPONENTS[program.component].versionFor(kubernetesVersion), platform: host };
      const finished = await findFinished(folders, key);
      if (finished === undefined) continue;
      if (await isIntact(finished.path, finished, signal)) addFinished(program, key.version, finished.path, finished);
      else await dropFinished(folders, key);
    }

    await using http = createHttp();
    const refusals: string[] = [];
    for (const source of createSources(http)) {
      const missing = programsOf(parts).filter(({ name }) => !ingredients.has(name));
      if (missing.length === 0) break;
      const context: SourceContext = {
        kubernetesVersion,
        platform: host,
        folders,
        workFolder: work.path,
        signal,
        onStep,
        keep: async ({ program, version, path, sha256, sizeBytes, source: origin }) => {
          const kept = await keepFinished(folders, { program, version, platform: host }, path, {
            sha256,
            sizeBytes,
            source: origin,
          });
          addFinished(program, version, kept.path, { ...kept });
        },
      };
      const reasons = await source.obtain(missing, context);
      if (reasons.size > 0) {
        const summary = summariseReasons(reasons);
        refusals.push(`${source.name}: ${summary}`);
        onStep({ name: source.name, state: 'skipped', message: summary });
      }
    }
    const missing = programsOf(parts).filter(({ name }) => !ingredients.has(name));
    if (missing.length > 0) throw noSource(kubernetesVersion, missing, refusals, folders, { kinds, from });

    const bundle = await assembleBundle({
      folders,
      workFolder: work.path,
      manifest: {
        format: 'mk-ci-bundle/1',
        kubernetesVersion,
        platform: host,
        parts,
        madeBy: `mk-ci ${VERSION}`,
      },
      ingredients: programsOf(parts).flatMap(({ name }) => ingredients.get(name) ?? []),
    });
    return bundleOf(bundle, ensure.parts);
  };

  return {
    plan,
    list: () => listCached(folders),
    ensure: async (kubernetesVersion, ensure) => {
      parseKubernetesVersion(kubernetesVersion);
      ensure.signal.throwIfAborted();
      const found = await findUsable(kubernetesVersion, ensure);
      if (found !== undefined) return found;

      const waitedFrom = performance.now();
      const waitedFor = new Set<number>();
      const lockName = `${kubernetesVersion}-${formatPlatform(platform())}.lock`;
      await using _lock = await acquireLock(join(folders.locks, lockName), {
        purpose: `making bundle ${kubernetesVersion}`,
        signal: ensure.signal,
        onWait: ({ pid, since }) => {
          waitedFor.add(pid);
          const message = `for process ${pid}, which makes this bundle since ${since}`;
          ensure.onStep?.({ name: 'waiting', state: 'started', message });
        },
      });
      if (waitedFor.size > 0)
        ensure.onStep?.({ name: 'waiting', state: 'ok', durationMs: performance.now() - waitedFrom });
      return (await findUsable(kubernetesVersion, ensure)) ?? (await make(kubernetesVersion, ensure));
    },
    verify: async (kubernetesVersion, { signal, onStep }) => {
      if (kubernetesVersion !== undefined) parseKubernetesVersion(kubernetesVersion);
      const results: VerifiedBundle[] = [];
      for (const entry of await listCached(
        folders,
        kubernetesVersion === undefined ? undefined : { kubernetesVersion },
      )) {
        const manifest = 'manifest' in entry ? entry.manifest : undefined;
        const name = `verify ${manifest?.kubernetesVersion ?? entry.folder}`;
        const startedAt = performance.now();
        onStep?.({ name, state: 'started' });
        let done = 0;
        const problems = await verifyCached(entry, signal, (file) => {
          onStep?.({ name, state: 'progress', message: file.path, fraction: done / (manifest?.files.length ?? 1) });
          done += 1;
        });
        const state = problems.length === 0 ? 'ok' : 'failed';
        onStep?.({
          name,
          state,
          durationMs: performance.now() - startedAt,
          message: `${done} files in ${entry.folder}`,
        });
        results.push({
          folder: entry.folder,
          kubernetesVersion: manifest?.kubernetesVersion,
          files: manifest?.files.length ?? 0,
          problems,
        });
      }
      return results;
    },
    delete: async (kubernetesVersion, { dryRun }) => {
      parseKubernetesVersion(kubernetesVersion);
      const removals = await listDeletable(folders, kubernetesVersion);
      if (!dryRun) await removeAll(folders, removals);
      return removals;
    },
    prune: async ({ dryRun }) => {
      const removals = await listPrunable(folders);
      if (!dryRun) {
        await sweepWorkFolders(folders);
        await removeAll(folders, removals);
      }
      return removals;
    },
  };
}

function describe(program: ProgramDefinition, version: string, entry: FinishedEntry): Omit<ManifestFile, 'mode'> {
  return {
    name: program.name,
    path: pathInBundle(program.name),
    part: program.part,
    component: program.component,
    version,
    sha256: entry.sha256,
    sizeBytes: entry.sizeBytes,
    modifiedAt: entry.modifiedAt,
    source: entry.source,
    licence: COMPONENTS[program.component].licence,
  };
}

function bundleOf({ folder, manifest }: CachedBundle, parts: readonly BundlePart[]): Bundle {
  const asked = new Set<string>(parts);
  return {
    kubernetesVersion: manifest.kubernetesVersion,
    folder,
    binaries: join(folder, 'bin'),
    digest: digestOf(manifest.files.filter(({ part }) => asked.has(part))),
    path: (program) => {
      const file = manifest.files.find(({ name }) => name === program);
      if (file === undefined) {
        throw new MkCiError('BND_NO_SOURCE', {
          message: `the bundle in ${folder} was made without ${program}`,
          advice: `Add it with mk-ci bundle build --kubernetes-version ${manifest.kubernetesVersion} --parts ${PROGRAMS.find(({ name }) => name === program)?.part ?? 'all'}.`,
        });
      }
      return join(folder, file.path);
    },
  };
}

async function bestCached(
  folders: BundleFolders,
  kubernetesVersion: string,
  platform: Platform,
): Promise<CachedBundle | undefined> {
  const entries = await listCached(folders, { kubernetesVersion, platform });
  return entries.find((entry): entry is CachedBundle => 'manifest' in entry);
}

function programsIn(bundle: CachedBundle | undefined): BundleProgram[] {
  const names = new Set(bundle?.manifest.files.map(({ name }) => name));
  return PROGRAMS.map(({ name }) => name).filter((name) => names.has(name));
}

async function isIntact(
  path: string,
  wanted: { readonly sha256: string; readonly sizeBytes: number },
  signal: AbortSignal,
): Promise<boolean> {
  try {
    if ((await stat(path)).size !== wanted.sizeBytes) return false;
    return (await hashFile(path, signal)).sha256 === wanted.sha256;
  } catch (error) {
    signal.throwIfAborted();
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw hostErrorOf(error, path) ?? error;
  }
}

function noSource(
  kubernetesVersion: string,
  missing: readonly ProgramDefinition[],
  refusals: readonly string[],
  folders: BundleFolders,
  { kinds, from }: { readonly kinds: readonly SourceKind[]; readonly from: string | undefined },
): MkCiError {
  const names = missing.map(({ name }) => name).join(', ');
  const problems = [
    `cache ${folders.root}: has no ${names} for ${kubernetesVersion}`,
    ...(from ? [] : ['mirror: none given (--from or MK_CI_BUNDLE_FROM)']),
    ...refusals,
    ...(kinds.includes('release') ? [] : ['release downloads: not asked for']),
    ...(kinds.includes('go') ? [] : ['Go modules: not asked for; mk-ci bundle build compiles']),
  ];
  return new MkCiError('BND_NO_SOURCE', {
    message: `${names} for Kubernetes ${kubernetesVersion}`,
    advice:
      'Do one of these: give a folder or server that has it with --from; allow access to dl.k8s.io, github.com and ' +
      'api.github.com (a proxy in HTTPS_PROXY is used); install Go from https://go.dev/dl/ and allow a module proxy (GOPROXY).',
    details: { problems },
  });
}
