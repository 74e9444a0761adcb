import { copyFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { isMkCiError, messageOf, MkCiError } from '../../errors.js';
import { lastLines, type Argv, type Exec, type ExecOptions, type ExecResult } from '../../exec.js';
import { writeFileAtomically, makeFolder } from '../../files.js';
import type { ComponentDefinition, Platform } from './catalogue.js';
import { buildLabels } from './orphans.js';
import { goProgramName, isGoAtLeast, parseGoMod, renderBuildModule } from './go-mod.js';

/** The Go way to a program is closed, for the reason in the message; another source may still have it. */
export class GoUnavailable extends Error {
  override readonly name = 'GoUnavailable';
}

/** A program by its file name and its Go package, which is a `main`. */
export interface GoProgram {
  readonly name: string;
  readonly goPackage: string;
}

export interface GoBuildOptions {
  readonly exec: Exec;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Title, and the module that its programs are in. */
  readonly component: Pick<ComponentDefinition, 'title' | 'go'>;
  readonly version: string;
  readonly platform: Platform;
  /** All of the component. Built by one call of `go build`, which compiles what they share once. */
  readonly programs: readonly GoProgram[];
  /** Empty folder of its own; removed by the caller. */
  readonly workFolder: string;
  /** Receives the output of all commands. */
  readonly logFile: string;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: { readonly message: string; readonly fraction?: number }) => void;
}

const MODULES_TIMEOUT_MS = 20 * 60_000;
/** What Go prints for ENOSPC and EDQUOT. */
const NO_SPACE = /no space left on device|disk quota exceeded/;
const BUILD_TIMEOUT_MS = 90 * 60_000;

const goEnvSchema = z.object({ GOVERSION: z.string(), GOFLAGS: z.string() });
const moduleSchema = z.object({
  Dir: z.string(),
  GoMod: z.string(),
  Info: z.string().optional(),
  Origin: z.object({ Hash: z.string().optional() }).optional(),
});
const infoSchema = z.object({
  Time: z.string().optional(),
  Origin: z.object({ Hash: z.string().optional() }).optional(),
});

/**
 * Settings of `go` that make a build depend only on the module: no flags, workspace or C compiler of the user's. Where
 * modules come from (GOPROXY, GOSUMDB, GOPRIVATE, also those of `go env -w`) stays the user's.
 */
export function goEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  platform: Platform,
): Record<string, string | undefined> {
  return {
    ...env,
    CGO_ENABLED: '0',
    GOOS: platform.os,
    GOARCH: platform.arch,
    // An empty value would let the flags of `go env -w GOFLAGS=…` through.
    GOFLAGS: '-mod=mod',
    GOWORK: 'off',
    GO111MODULE: 'on',
    GOTOOLCHAIN: 'local',
    GIT_TERMINAL_PROMPT: '0',
  };
}

/**
 * Builds programs of one component from the Go module that its project publishes, with the dependencies and checksums
 * of that module's own `go.mod` and `go.sum`.
 *
 * @returns paths of the programs in `workFolder`
 * @throws {GoUnavailable} when Go is missing or too old, or the modules can not be had
 * @throws {MkCiError} `BND_BUILD_FAILED` when the compiler fails
 */
export async function buildGoPrograms(options: GoBuildOptions): Promise<ReadonlyMap<string, string>> {
  const { component, version, programs, workFolder, signal, onProgress } = options;
  const { go: recipe } = component;
  if (recipe === undefined) throw new GoUnavailable(`${component.title} has no module`);
  const log: string[] = [];
  const run = async (argv: Argv, extra: ExecOptions = {}): Promise<ExecResult> => {
    log.push(`$ ${argv.join(' ')}\n`);
    const result = await options.exec(argv, {
      cwd: workFolder,
      env: goEnvironment(options.env, options.platform),
      signal,
      graceMs: 1000,
      maxBytes: 8 * 1024 * 1024,
      allowFailure: true,
      labels: buildLabels(),
      ...extra,
    });
    log.push(
      result.stderr,
      `${result.exitCode === 0 ? 'ok' : 'failed'} after ${(result.durationMs / 1000).toFixed(1)} s\n`,
    );
    return result;
  };

  try {
    await makeFolder(workFolder);
    await writeFile(join(workFolder, 'go.mod'), 'module mk-ci.invalid/bundle\n');
    const goVersion = await findGo(run);

    onProgress?.({ message: `fetching ${recipe.module}@${version}` });
    const module = await downloadModule(run, `${recipe.module}@${version}`);
    const upstream = parseGoMod(await readFile(module.GoMod, 'utf8'));
    if (!isGoAtLeast(goVersion, upstream.go)) {
      throw new GoUnavailable(`Go ${upstream.go} or newer is needed, ${goVersion} is installed`);
    }
    await writeFile(
      join(workFolder, 'go.mod'),
      renderBuildModule({ upstream, version, treeModuleVersion: recipe.treeModuleVersion?.(version) }),
    );
    // The sums that the release was made with; those of modules of its own tree are added by go from the sum database.
    await copyFile(join(module.Dir, 'go.sum'), join(workFolder, 'go.sum'));

    const packages = programs.map(({ goPackage }) => goPackage);
    const total = await listPackages(run, packages, onProgress);
    const stamps = Object.entries(recipe.stamps({ version, ...(await releaseFacts(module)) }));
    const ldflags = ['-s', '-w', ...stamps.map(([name, value]) => `-X ${name}=${value}`)].join(' ');
    const out = join(workFolder, 'out');
    await mkdir(out);
    const compiled = countLines((lines, last) => {
      // -v prints a package when its compilation starts; packages in Go's cache are not printed.
      onProgress?.({ message: `compiling ${last}`, fraction: Math.min(0.99, lines / total) });
    });
    const build = await run(
      ['go', 'build', '-v', '-trimpath', '-buildvcs=false', '-ldflags', ldflags, '-o', `${out}/`, ...packages],
      { timeoutMs: BUILD_TIMEOUT_MS, onOutput: compiled },
    );
    if (build.exitCode !== 0) throw buildFailure(build, options);
    return await nameOutputs(out, programs);
  } finally {
    await writeFileAtomically(options.logFile, log.join('')).catch(() => undefined);
  }
}

type Run = (argv: Argv, extra?: ExecOptions) => Promise<ExecResult>;

async function findGo(run: Run): Promise<string> {
  let result: ExecResult;
  try {
    result = await run(['go', 'env', '-json', 'GOVERSION', 'GOFLAGS'], { timeoutMs: 30_000 });
  } catch (error) {
    if (isMkCiError(error, 'HOST_MISSING_TOOL')) throw new GoUnavailable('Go is not installed', { cause: error });
    throw error;
  }
  if (result.exitCode !== 0) throw new GoUnavailable(`go does not work: ${lastLines(result.stderr, 1).join('')}`);
  return goEnvSchema.parse(JSON.parse(result.stdout)).GOVERSION.replace(/^go/, '');
}

async function downloadModule(run: Run, module: string): Promise<z.infer<typeof moduleSchema>> {
  const result = await run(['go', 'mod', 'download', '-json', module], { timeoutMs: MODULES_TIMEOUT_MS });
  if (result.exitCode !== 0) throw modulesFailure(result, module);
  return moduleSchema.parse(JSON.parse(result.stdout));
}

/** Loads the packages, which fetches all modules that are still missing, and counts them. */
async function listPackages(
  run: Run,
  packages: readonly string[],
  onProgress: GoBuildOptions['onProgress'],
): Promise<number> {
  const fetched = countLines((lines, last) => {
    const module = /^go: downloading (\S+ \S+)/.exec(last)?.[1];
    if (module !== undefined) onProgress?.({ message: `fetching modules, ${lines} so far: ${module}` });
  });
  const result = await run(['go', 'list', '-deps', ...packages], { timeoutMs: MODULES_TIMEOUT_MS, onOutput: fetched });
  if (result.exitCode !== 0) throw modulesFailure(result, 'dependencies');
  return Math.max(1, result.stdout.split('\n').length - 1);
}

/** Commit and time of the release, where the module proxy tells. */
async function releaseFacts(module: z.infer<typeof moduleSchema>): Promise<{ commit: string; time: string }> {
  let info: z.infer<typeof infoSchema> = {};
  try {
    if (module.Info !== undefined) info = infoSchema.parse(JSON.parse(await readFile(module.Info, 'utf8')));
  } catch {
    // Only a decoration of the version; the build does not depend on it.
  }
  return {
    commit: module.Origin?.Hash ?? info.Origin?.Hash ?? '',
    time: info.Time ?? '1970-01-01T00:00:00Z',
  };
}

async function nameOutputs(out: string, programs: readonly GoProgram[]): Promise<Map<string, string>> {
  const paths = new Map<string, string>();
  for (const { name, goPackage } of programs) {
    const built = join(out, goProgramName(goPackage));
    const path = join(out, name);
    if (built !== path) await rename(built, path);
    paths.set(name, path);
  }
  return paths;
}

/** Calls back once a chunk of standard error, with the number of whole lines so far and the last one. */
function countLines(
  onLines: (lines: number, last: string) => void,
): (piece: string, stream: 'stdout' | 'stderr') => void {
  let lines = 0;
  let rest = '';
  return (piece, stream) => {
    if (stream !== 'stderr') return;
    const parts = (rest + piece).split('\n');
    rest = parts.pop() ?? '';
    lines += parts.length;
    const last = parts.at(-1);
    if (last !== undefined) onLines(lines, last);
  };
}

function modulesFailure(result: ExecResult, what: string): Error {
  const reason = goReason(result, what);
  if (!NO_SPACE.test(result.stderr + result.stdout)) return new GoUnavailable(reason);
  return new MkCiError('HOST_DISK_FULL', { message: `Go's module cache: ${reason}` });
}

/** The line of go's output that says why modules could not be had. */
export function goReason(result: Pick<ExecResult, 'stdout' | 'stderr' | 'timedOut'>, what: string): string {
  if (result.timedOut) return `fetching ${what} took too long`;
  const error = /"Error": "((?:[^"\\]|\\.)*)"/.exec(result.stdout)?.[1];
  const text = error === undefined ? result.stderr : unescapeJson(error);
  const lines = lastLines(text, 50).filter((line) => !/^go: (?:downloading|finding) /.test(line));
  const line = lines.find((candidate) =>
    /dial tcp|lookup|unknown revision|not found|timeout|4\d\d |5\d\d /i.test(candidate),
  );
  return `${what}: ${(line ?? lines.at(-1) ?? 'go failed without a word').trim().slice(0, 300)}`;
}

function unescapeJson(text: string): string {
  try {
    return String(JSON.parse(`"${text}"`));
  } catch (error) {
    return `${text} (${messageOf(error)})`;
  }
}

function buildFailure(result: ExecResult, { component, version, logFile }: GoBuildOptions): MkCiError {
  const why = result.timedOut
    ? `no end after ${BUILD_TIMEOUT_MS / 60_000} min`
    : result.signal === undefined
      ? `exit code ${result.exitCode ?? 'unknown'}`
      : `ended by ${result.signal}${result.signal === 'SIGKILL' ? ', perhaps for want of memory' : ''}`;
  return new MkCiError(NO_SPACE.test(result.stderr) ? 'HOST_DISK_FULL' : 'BND_BUILD_FAILED', {
    message: `${component.title} ${version} (${why}), log: ${logFile}`,
    details: { output: lastLines(result.stderr, 15).join('\n'), logFile },
  });
}
