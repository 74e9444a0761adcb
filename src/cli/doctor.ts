import { Command } from 'commander';

import { NODE_USE } from '../cluster/host-kit/index.js';
import { judgeHost } from '../cluster/host/judge-host.js';
import { readHostFacts, type HostFacts } from '../cluster/host/facts.js';
import {
  createDriverRegistry,
  type Driver,
  type DriverHealth,
  type DriverInfo,
  type DriverOptions,
  type DriverProblem,
} from '../drivers/index.js';
import { MkCiError, isMkCiError, messageOf } from '../errors.js';
import { exec } from '../exec.js';
import { foldersOf } from '../files.js';
import { VERSION } from '../version.js';
import type { CliContext } from './command.js';
import { addSshFlags, sshOptionsOf, type SshFlags } from './ssh-flags.js';

export function build(context: CliContext): Command {
  return addSshFlags(new Command('doctor'))
    .summary('what works on this host, per driver, with the remedy')
    .description(
      'Looks at this host and at what each driver needs, and says how to get what is missing.\n' +
        'Exits with 0 whatever it finds, except with --driver for a driver that can not work here.',
    )
    .option('--driver <name>', 'only this driver; fail when it can not work')
    .option('--json', 'print data', false)
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci doctor\n  mk-ci doctor --driver local --json\n  mk-ci doctor --ssh-host ci@192.0.2.7',
    )
    .action(async (flags: DoctorFlags) => {
      // Naming a host asks for it alone.
      const driver = flags.driver ?? (flags.sshHost === undefined ? undefined : 'ssh');
      const report = await examine({
        drivers: selectDrivers(allDrivers(context), driver),
        options: sshOptionsOf(flags, context.cwd),
        readHost: async () =>
          await readHostFacts({ exec, folders: { ...foldersOf(context.env) }, signal: context.signal }),
        signal: context.signal,
      });
      await context.stdout(flags.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderDoctor(report));
      const asked = report.drivers.find(({ name }) => name === driver);
      if (asked?.usable === false) {
        throw new MkCiError('DRV_UNUSABLE', {
          message: `${asked.name}: ${asked.problems.map((problem) => problem.message).join('; ')}`,
          advice: asked.problems.map((problem) => problem.fix).join(' '),
        });
      }
    });
}

interface DoctorFlags extends SshFlags {
  readonly driver?: string;
  readonly json: boolean;
}

function allDrivers(context: Pick<CliContext, 'env'>): readonly Driver[] {
  const registry = createDriverRegistry({ exec, folders: foldersOf(context.env), hostUse: NODE_USE });
  return registry.names.map((name) => registry.get(name));
}

export interface DriverReport extends DriverHealth {
  readonly name: string;
  readonly summary: string;
  readonly experimental: boolean;
  readonly containerRuntimes: DriverInfo['containerRuntimes'];
}

export interface DoctorReport {
  readonly version: string;
  readonly host: HostFacts;
  /** Of the host as such, whatever the driver. */
  readonly problems: readonly DriverProblem[];
  readonly drivers: readonly DriverReport[];
}

export interface ExamineOptions {
  readonly drivers: readonly Driver[];
  /** For drivers that know options. @default none */
  readonly options?: DriverOptions;
  readonly readHost: () => Promise<HostFacts>;
  readonly signal: AbortSignal;
  /** Longest time for one driver's check. @default 20000 */
  readonly checkTimeoutMs?: number;
}

/** Asks all drivers at once. One that fails or hangs is reported as not usable. */
export async function examine({
  drivers,
  options = {},
  readHost,
  signal,
  checkTimeoutMs = 20_000,
}: ExamineOptions): Promise<DoctorReport> {
  const [host, ...reports] = await Promise.all([
    readHost(),
    ...drivers.map(async (driver): Promise<DriverReport> => {
      const { name, summary, experimental, containerRuntimes } = driver.info;
      return {
        name,
        summary,
        experimental,
        containerRuntimes,
        ...(await checkDriver(driver, options, signal, checkTimeoutMs)),
      };
    }),
  ]);
  return { version: VERSION, host, problems: judgeHost(host), drivers: reports };
}

async function checkDriver(
  driver: Driver,
  options: DriverOptions,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<DriverHealth> {
  const deadline = AbortSignal.timeout(timeoutMs);
  const late = new Promise<never>((_resolve, reject) => {
    deadline.addEventListener('abort', () => {
      reject(new Error(`no answer within ${timeoutMs / 1000} s`));
    });
  });
  try {
    return await Promise.race([driver.check(AbortSignal.any([signal, deadline]), options), late]);
  } catch (error) {
    signal.throwIfAborted();
    if (isMkCiError(error, 'CFG_INVALID')) throw error; // what was asked for makes no sense
    const message = `its check failed: ${messageOf(error)}`;
    const fix = `Run mk-ci doctor --driver ${driver.info.name} --verbose and report what it prints.`;
    return { usable: false, problems: [{ reason: 'DRV_CHECK_FAILED', message, fix }], facts: {} };
  }
}

/** @throws {MkCiError} `DRV_UNKNOWN` with the known names */
export function selectDrivers(drivers: readonly Driver[], name: string | undefined): readonly Driver[] {
  if (name === undefined) return drivers;
  const found = drivers.filter((driver) => driver.info.name === name);
  if (found.length > 0) return found;
  const known = drivers.map((driver) => driver.info.name).join(', ');
  throw new MkCiError('DRV_UNKNOWN', { message: `'${name}'`, advice: `Known drivers: ${known}.` });
}

/** The report as a page of text: host, then one block a driver, remedies below what they cure. */
export function renderDoctor({ version, host, problems, drivers }: DoctorReport): string {
  const facts: [string, string][] = [
    ['mk-ci', version],
    [
      'host',
      `${host.platform} ${host.architecture}, ${host.cpus} cpus, ${formatGiB(host.memoryBytes)} memory${availability(host)}`,
    ],
    ['node', host.nodeVersion],
    ['go', host.go ?? 'not found (only needed to build bundles)'],
    ['setpriv', host.setpriv ?? 'not found (component processes are then ended by their supervisor only)'],
  ];
  if (host.openFiles) facts.push(['open files', `${host.openFiles.soft} (hard limit ${host.openFiles.hard})`]);
  if (host.inotify) facts.push(['inotify', `${host.inotify.instances} instances, ${host.inotify.watches} watches`]);
  for (const disk of host.disks) facts.push([disk.purpose, `${disk.path}, ${formatGiB(disk.freeBytes)} free`]);
  const lines = [...facts.map(([key, value]) => `${key.padEnd(12)}${value}`), ...problems.flatMap(renderProblem)];
  for (const driver of drivers) {
    const state = !driver.usable ? 'can not work here' : driver.problems.length > 0 ? 'works, limited' : 'works';
    const found = Object.entries(driver.facts).map(([key, value]) => `${key} ${value}`);
    lines.push(
      '',
      `${driver.name.padEnd(12)}${state}${driver.experimental ? ' (experimental)' : ''} – ${driver.summary}`,
    );
    if (found.length > 0) lines.push(`  ${found.join(', ')}`);
    lines.push(...driver.problems.flatMap(renderProblem));
  }
  return `${lines.join('\n')}\n`;
}

function renderProblem({ reason, message, fix, url }: DriverProblem): string[] {
  return [`  ! ${message} (${reason})`, `    ${fix}${url === undefined ? '' : ` See ${url}`}`];
}

function availability({ memoryAvailableBytes }: HostFacts): string {
  return memoryAvailableBytes === undefined ? '' : `, ${formatGiB(memoryAvailableBytes)} of it available`;
}

function formatGiB(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
