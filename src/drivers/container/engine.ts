import { MkCiError, isMkCiError } from '../../errors.js';
import { lastLines, type Argv, type Exec, type ExecResult } from '../../exec.js';
import type { Labels } from '../../process.js';
import type { EngineTraits } from './engines.js';
import {
  parseObjects,
  readContainer,
  readNetwork,
  readVolume,
  type ContainerFacts,
  type NetworkFacts,
  type VolumeFacts,
} from './inspect.js';
import type { EngineFacts } from './judge-engine.js';

/** Longest time for a question. An engine that is at its limits answers within seconds, one that hangs never does. */
const ASK_MS = 30_000;
/** Longest time for making, stopping or removing something. */
const ACT_MS = 120_000;

export interface EngineOptions {
  readonly traits: EngineTraits;
  readonly exec: Exec;
}

/** An engine, reached through its command line. Everything it says is read as JSON or as a list of ids. */
export interface Engine {
  readonly traits: EngineTraits;
  facts(signal: AbortSignal): Promise<EngineFacts>;
  /** Containers, running or not, that match all filters: `key` or `key=value`. */
  containers(filters: readonly string[], signal: AbortSignal): Promise<readonly ContainerFacts[]>;
  container(name: string, signal: AbortSignal): Promise<ContainerFacts | undefined>;
  networks(filters: readonly string[], signal: AbortSignal): Promise<readonly NetworkFacts[]>;
  volumes(filters: readonly string[], signal: AbortSignal): Promise<readonly VolumeFacts[]>;
  volume(name: string, signal: AbortSignal): Promise<VolumeFacts | undefined>;
  /** Id of an image; `undefined` when it is not there. */
  imageId(reference: string, signal: AbortSignal): Promise<string | undefined>;
  createVolume(name: string, labels: Labels, signal: AbortSignal): Promise<void>;
  /** @throws {MkCiError} `DRV_FAILED` with the engine's words, such as an overlapping subnet */
  createNetwork(name: string, subnet: string, labels: Labels, signal: AbortSignal): Promise<void>;
  /** Runs a command of the engine. @returns what it said, when it succeeded. @throws {MkCiError} `DRV_FAILED`, `HOST_DISK_FULL` */
  act(args: readonly string[], signal: AbortSignal, timeoutMs?: number): Promise<string>;
  /** The same, where one of these failures means that it is done already. */
  actUnless(args: readonly string[], done: RegExp, signal: AbortSignal): Promise<void>;
}

export function createEngine({ traits, exec }: EngineOptions): Engine {
  const ask = async (args: readonly string[], signal: AbortSignal): Promise<ExecResult> => {
    const argv: Argv = [traits.name, ...args];
    try {
      return await exec(argv, { signal, allowFailure: true, timeoutMs: ASK_MS });
    } catch (error) {
      if (isMkCiError(error, 'HOST_MISSING_TOOL')) throw error;
      signal.throwIfAborted();
      throw new MkCiError('DRV_FAILED', { message: `${traits.name} ${args[0] ?? ''}`, cause: error });
    }
  };
  const ids = async (args: readonly string[], filters: readonly string[], signal: AbortSignal): Promise<string[]> => {
    const result = await ask([...args, ...filters.flatMap((filter) => ['--filter', `label=${filter}`])], signal);
    if (result.exitCode !== 0) throw engineError(traits, args, result);
    return [...new Set(result.stdout.split('\n').filter((line) => line !== ''))];
  };
  /** What vanished since it was listed is left out: the engine then describes the others and fails. */
  const inspect = async <T>(
    kind: readonly string[],
    names: readonly string[],
    read: (value: Readonly<Record<string, unknown>>) => T,
    signal: AbortSignal,
  ): Promise<T[]> => {
    if (names.length === 0) return [];
    const result = await ask([...kind, ...names], signal);
    if (result.exitCode !== 0 && !NOT_THERE.test(result.stderr)) throw engineError(traits, kind, result);
    return parseObjects(result.stdout).map(read);
  };
  const act = async (args: readonly string[], signal: AbortSignal, timeoutMs = ACT_MS): Promise<string> => {
    const argv: Argv = [traits.name, ...args];
    const result = await exec(argv, { signal, allowFailure: true, timeoutMs });
    if (result.exitCode !== 0) throw engineError(traits, args, result);
    return result.stdout;
  };
  return {
    traits,
    act,
    facts: async (signal) => {
      const [version, info] = await Promise.all([
        ask(['version', '--format', '{{json .}}'], signal),
        ask(['info', '--format', '{{json .}}'], signal),
      ]);
      if (info.exitCode !== 0) throw engineError(traits, ['info'], info);
      const facts = readFacts(traits, parseObjects(version.stdout)[0] ?? {}, parseObjects(info.stdout)[0] ?? {});
      const { cgroupV1Runtime: other } = traits;
      if (other === undefined || facts.runtimes.includes(other) || !(await isInstalled(exec, other, signal)))
        return facts;
      return { ...facts, runtimes: [...facts.runtimes, other] };
    },
    containers: async (filters, signal) =>
      await inspect(
        ['container', 'inspect'],
        await ids(['ps', '-aq', '--no-trunc'], filters, signal),
        readContainer,
        signal,
      ),
    container: async (name, signal) => (await inspect(['container', 'inspect'], [name], readContainer, signal))[0],
    networks: async (filters, signal) =>
      await inspect(
        ['network', 'inspect'],
        await ids(['network', 'ls', '-q', '--no-trunc'], filters, signal),
        readNetwork,
        signal,
      ),
    volumes: async (filters, signal) =>
      await inspect(['volume', 'inspect'], await ids(['volume', 'ls', '-q'], filters, signal), readVolume, signal),
    volume: async (name, signal) => (await inspect(['volume', 'inspect'], [name], readVolume, signal))[0],
    imageId: async (reference, signal) =>
      (
        await inspect(['image', 'inspect'], [reference], (value) => textOf(value['Id']).replace(/^sha256:/, ''), signal)
      )[0],
    createVolume: async (name, labels, signal) => {
      await act(['volume', 'create', ...labelFlags(labels), name], signal);
    },
    createNetwork: async (name, subnet, labels, signal) => {
      const flags = ['--driver', 'bridge', '--subnet', subnet, ...traits.networkFlags, ...labelFlags(labels)];
      await act(['network', 'create', ...flags, name], signal);
    },
    actUnless: async (args, done, signal) => {
      try {
        await act(args, signal);
      } catch (error) {
        if (!done.test(outputOf(error))) throw error;
      }
    },
  };
}

async function isInstalled(exec: Exec, program: string, signal: AbortSignal): Promise<boolean> {
  try {
    return (await exec([program, '--version'], { signal, allowFailure: true, timeoutMs: 5000 })).exitCode === 0;
  } catch (error) {
    if (isMkCiError(error, 'HOST_MISSING_TOOL')) return false;
    throw error;
  }
}

/** What the engine said when it refused; '' for errors of other origin. */
export function outputOf(error: unknown): string {
  return isMkCiError(error) ? textOf(error.details['output']) : '';
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** How engines say that something is not there. */
export const NOT_THERE = /no such|not found|not known|does not exist|no container with|no volume with|unable to find/i;

function labelFlags(labels: Labels): string[] {
  return Object.entries(labels).flatMap(([key, value]) => ['--label', `${key}=${value}`]);
}

function engineError(traits: EngineTraits, args: readonly string[], result: ExecResult): MkCiError {
  const output = lastLines(`${result.stderr}\n${result.stdout}`, 10)
    .filter((line) => !/^Run '.* --help' for more information$/.test(line))
    .join('\n');
  const isFull = /no space left on device|disk quota exceeded/i.test(output);
  // Podman puts its warnings before what it ends with.
  const lines = output.split('\n');
  const why = result.timedOut ? 'no answer in time' : (lines.find((line) => /^Error: /.test(line)) ?? lines[0] ?? '');
  return new MkCiError(isFull ? 'HOST_DISK_FULL' : 'DRV_FAILED', {
    message: `${traits.name} ${args[0] ?? ''}: ${why.slice(0, 400)}`,
    details: { argv: result.argv, exitCode: result.exitCode, output },
  });
}

/** What Docker says of limits that it can set, by the controller of cgroups that each of them needs. */
const CONTROLLER_LIMITS = { cpu: 'CPUShares', memory: 'MemoryLimit', pids: 'PidsLimit' } as const;

/** Both engines give these facts, in different places. */
export function readFacts(
  traits: EngineTraits,
  version: Readonly<Record<string, unknown>>,
  info: Readonly<Record<string, unknown>>,
): EngineFacts {
  const at = (value: unknown, ...path: readonly string[]): unknown =>
    path.reduce<unknown>(
      (object, key) =>
        typeof object === 'object' && object !== null ? (object as Record<string, unknown>)[key] : undefined,
      value,
    );
  if (traits.hasDaemon) {
    const security = at(info, 'SecurityOptions');
    return {
      version: textOf(at(version, 'Server', 'Version')) || textOf(info['ServerVersion']),
      isRootless: Array.isArray(security) && security.some((item) => String(item).includes('rootless')),
      cgroupVersion: textOf(info['CgroupVersion']),
      storageDriver: textOf(info['Driver']),
      defaultRuntime: textOf(info['DefaultRuntime']),
      runtimes: Object.keys(at(info, 'Runtimes') ?? {}),
      controllers: Object.entries(CONTROLLER_LIMITS).flatMap(([name, limit]) => (info[limit] === true ? [name] : [])),
    };
  }
  const runtime = textOf(at(info, 'host', 'ociRuntime', 'name')); // null when it does not start
  const ids = at(info, 'host', 'idMappings', 'uidmap');
  const controllers = at(info, 'host', 'cgroupControllers');
  return {
    version: textOf(at(version, 'Client', 'Version')) || textOf(at(info, 'version', 'Version')),
    isRootless: at(info, 'host', 'security', 'rootless') === true,
    cgroupVersion: textOf(at(info, 'host', 'cgroupVersion')).replace('v', ''),
    storageDriver: textOf(at(info, 'store', 'graphDriverName')),
    defaultRuntime: runtime,
    runtimes: runtime === '' ? [] : [runtime],
    networkBackend: textOf(at(info, 'host', 'networkBackend')),
    controllers: Array.isArray(controllers) ? controllers.map(textOf) : [],
    ...(Array.isArray(ids) && { userIds: ids.reduce<number>((sum, range) => sum + Number(at(range, 'size') ?? 0), 0) }),
  };
}
