import { InvalidArgumentError, Option, type Command } from 'commander';

import type { KeepClusters, PlanFilters } from '../runner/index.js';
import { parseShard } from '../runner/index.js';
import type { Environment, EnvironmentFilter } from '../config/index.js';
import { AUTO_DRIVER } from '../drivers/choose-driver.js';
import { MkCiError } from '../errors.js';
import { addSshFlags, sshOptionsOf, type SshFlags } from './ssh-flags.js';

/** Flags of `mk-ci run`, as typed values. */
export interface RunFlags extends SshFlags {
  readonly config?: string;
  readonly driver?: readonly string[];
  readonly containerRuntime?: readonly string[];
  readonly kubernetesVersion?: readonly string[];
  readonly environment?: readonly string[];
  readonly jobs?: number;
  readonly shard?: string;
  readonly cell?: readonly string[];
  readonly retries?: number;
  readonly timeout?: number;
  readonly out?: string;
  readonly keep: KeepClusters;
  readonly select?: string;
  readonly failOnFlaky?: boolean;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly engine?: 'local' | 'kubernetes';
  readonly engineImage?: string;
  readonly engineKubeconfig?: string;
  readonly engineContext?: string;
  readonly engineNamespace?: string;
  readonly engineServiceAccount?: string;
}

/** Declares the flags on a command. */
export function addRunFlags(command: Command): Command {
  return addSshFlags(command)
    .option('--config <file>', 'configuration; without it mk-ci.yaml is searched upward')
    .option(
      '--driver <names>',
      'only these drivers, or this one in place of those of the file; auto is the best that works here',
      list,
    )
    .option('--container-runtime <names>', 'only these container runtimes', list)
    .option('--kubernetes-version <versions>', 'only these versions, such as v1.36.3', list)
    .option('--environment <globs>', 'only environments with these names', list)
    .option('--jobs <n>', 'cells at a time (default: by processors and memory)', positive)
    .option('--shard <i/n>', 'run the i-th of n parts of all cells')
    .option('--cell <ids>', 'exactly these cells, as mk-ci matrix gives them', list)
    .option('--retries <n>', 'how often failed tests run again, for every suite', count)
    .option('--timeout <duration>', 'time limit of every suite, such as 90s, 20m or 2h', duration)
    .option('--out <dir>', 'where the folder of the run is made (default: .mk-ci/runs beside the configuration)')
    .option('--keep <when>', 'clusters that stay afterwards: never, on-failure or always', keep, 'never')
    .option('--select <pattern>', 'only tests that match, in the language of the suite’s tool')
    .option('--fail-on-flaky', 'exit 1 when a test passed only in a rerun')
    .addOption(
      new Option('--engine <name>', 'where cells run: on this host, or as pods of a Job')
        .choices(['local', 'kubernetes'])
        .default('local'),
    )
    .option('--engine-image <image>', 'image of the pods: mk-ci in PATH, its working folder the project')
    .option('--engine-kubeconfig <file>', 'cluster of the Job (default: KUBECONFIG, else ~/.kube/config)')
    .option('--engine-context <name>', 'context of the kubeconfig (default: its current one)')
    .option('--engine-namespace <name>', 'namespace of the Job (default: that of the context)')
    .option('--engine-service-account <name>', 'ServiceAccount of the pods, with what the suites may do', 'default')
    .option('--yes', 'the driver none may change this host')
    .option('--dry-run', 'print the plan and do nothing')
    .option('--json', 'print the result (or the plan) as JSON');
}

/**
 * The host that flags name, for environments of the driver ssh: it takes the place of theirs.
 *
 * @param cwd where a path of a key begins
 * @throws {MkCiError} `CLI_USAGE` for a host that no environment uses
 */
export function withSshHost(
  environments: readonly Environment[],
  flags: SshFlags,
  cwd: string,
): readonly Environment[] {
  const given = sshOptionsOf(flags, cwd);
  if (Object.keys(given).length === 0) return environments;
  if (environments.every(({ driver }) => driver !== 'ssh')) {
    throw new MkCiError('CLI_USAGE', {
      message: 'a host is named for ssh, and no environment uses that driver',
      advice: 'Add --driver ssh.',
    });
  }
  return environments.map((environment) =>
    environment.driver === 'ssh' ? { ...environment, options: { ...environment.options, ...given } } : environment,
  );
}

/** @param pickDriver names the driver that `--driver auto` stands for */
export async function environmentFilter(
  flags: Pick<RunFlags, 'driver' | 'containerRuntime' | 'kubernetesVersion' | 'environment'>,
  pickDriver: () => Promise<string>,
): Promise<EnvironmentFilter> {
  const drivers =
    flags.driver?.includes(AUTO_DRIVER) === true
      ? [...new Set([...flags.driver.filter((name) => name !== AUTO_DRIVER), await pickDriver()])]
      : flags.driver;
  return {
    ...(drivers === undefined ? {} : { drivers }),
    ...(flags.containerRuntime === undefined ? {} : { containerRuntimes: flags.containerRuntime }),
    ...(flags.kubernetesVersion === undefined ? {} : { kubernetesVersions: flags.kubernetesVersion }),
    ...(flags.environment === undefined ? {} : { environments: flags.environment }),
  };
}

/** @throws {MkCiError} `CLI_USAGE` for a shard that is none */
export function planFilters(suites: readonly string[], flags: RunFlags): PlanFilters {
  return {
    suites: suites.flatMap(list),
    ...(flags.shard === undefined ? {} : { shard: parseShard(flags.shard) }),
    ...(flags.cell === undefined ? {} : { cells: flags.cell }),
    ...(flags.retries === undefined ? {} : { retries: flags.retries }),
    ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout }),
    ...(flags.select === undefined ? {} : { select: flags.select }),
  };
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function count(text: string): number {
  if (!/^\d{1,2}$/.test(text)) throw new InvalidArgumentError('a number from 0 to 99');
  return Number(text);
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError('a number from 1 to 9999');
  return Number(text);
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `90s`, `20m`, `2h`, `500ms`; a bare number is minutes, as in the configuration. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const milliseconds = Number(match?.[1]) * (UNIT_MS[match?.[2] ?? 'm'] ?? 0);
  if (match === null || milliseconds < 1 || milliseconds > 24 * 3_600_000) {
    throw new InvalidArgumentError('a duration up to 24 h, such as 90s, 20m or 2h');
  }
  return milliseconds;
}

function keep(text: string): KeepClusters {
  if (text === 'never' || text === 'on-failure' || text === 'always') return text;
  throw new InvalidArgumentError('never, on-failure or always');
}
