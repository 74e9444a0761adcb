import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { constants, hostname } from 'node:os';

/**
 * Who a process is, beyond its number: numbers are reused, so a pid is only trusted together with the time at which the
 * process started. Works from `/proc` on Linux; elsewhere the start time is unknown and only the number is compared.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot (`/proc/<pid>/stat`, field 22) and the boot id, or '' where the host does not tell. */
  readonly startedAt: string;
}

/** Environment variable that marks every process mk-ci starts, so that `gc` finds it with all state folders gone. */
export const LABEL_VARIABLE = 'MK_CI_LABELS';

/** Labels on a process, container, volume or machine: run, cluster, owner (see `formatIdentity`), expiry. */
export type Labels = Readonly<Record<string, string>>;

/** `a=1;b=2`, values percent-encoded; empty record gives ''. */
export function formatLabels(labels: Labels): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join(';');
}

/** Inverse of {@link formatLabels}; parts without `=` are ignored. */
export function parseLabels(text: string): Labels {
  const labels: Record<string, string> = {};
  for (const part of text.split(';')) {
    const at = part.indexOf('=');
    if (at > 0) labels[part.slice(0, at)] = safeDecode(part.slice(at + 1));
  }
  return labels;
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not ours: somebody set the variable by hand
  }
}

/**
 * Host and namespace in which the process numbers of this process are valid. A folder may be shared with a
 * container or, over the network, with another host, whose living processes look dead from here.
 */
export function placeOfProcesses(): string {
  try {
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname(); // no /proc
  }
}

/** Identity of a running process, or `undefined` when there is none (a zombie counts as none). */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  if (process.platform !== 'linux') return signalZero(pid) ? { pid, startedAt: '' } : undefined;
  const stat = readProc(pid, 'stat');
  if (stat === undefined) return undefined;
  // The command name (field 2) may contain spaces and brackets: count the fields after the last ')'.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  if (state === 'Z' || state === 'X') return undefined;
  return { pid, startedAt: `${fields[19] ?? ''}@${bootId()}` };
}

/** This very process. */
export function identifySelf(): ProcessIdentity {
  return identifyProcess(process.pid) ?? { pid: process.pid, startedAt: '' };
}

/** True while exactly this process runs; false once it ended or its number belongs to another. */
export function isAlive(identity: ProcessIdentity): boolean {
  const now = identifyProcess(identity.pid);
  return now !== undefined && (identity.startedAt === '' || now.startedAt === identity.startedAt);
}

/** `pid:startedAt`, for labels and file contents. */
export function formatIdentity({ pid, startedAt }: ProcessIdentity): string {
  return `${pid}:${startedAt}`;
}

/** Inverse of {@link formatIdentity}; `undefined` for anything else. */
export function parseIdentity(text: string): ProcessIdentity | undefined {
  const match = /^(\d+):(.*)$/s.exec(text);
  return match?.[1] === undefined ? undefined : { pid: Number(match[1]), startedAt: match[2] ?? '' };
}

export interface LabelledProcess extends ProcessIdentity {
  readonly labels: Labels;
  /** Process group, 0 when unknown. */
  readonly group: number;
  /** Program and arguments, spaces between; '' when the host hides it. */
  readonly command: string;
}

/** All processes of this host that carry {@link LABEL_VARIABLE}; empty where there is no `/proc`. */
export function listLabelledProcesses(): LabelledProcess[] {
  if (process.platform !== 'linux') return [];
  const found: LabelledProcess[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const variable = readProc(pid, 'environ')
      ?.split('\0')
      .find((line) => line.startsWith(`${LABEL_VARIABLE}=`));
    if (variable === undefined) continue;
    const identity = identifyProcess(pid);
    if (identity === undefined) continue;
    const stat = readProc(pid, 'stat') ?? '';
    found.push({
      ...identity,
      labels: parseLabels(variable.slice(LABEL_VARIABLE.length + 1)),
      group: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2] ?? 0),
      command: (readProc(pid, 'cmdline') ?? '').replaceAll('\0', ' ').trim(),
    });
  }
  return found;
}

/**
 * Sends a signal to a process group led by `pid`.
 *
 * @returns false when there is no such group any more
 */
export function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  if (pid <= 1) throw new RangeError(`not a process group of ours: ${pid}`);
  try {
    process.kill(-pid, signal);
    return true;
  } catch (error) {
    if (isNoSuchProcess(error)) return false;
    throw error;
  }
}

/**
 * Whether a process group has a living member. Zombies do not count: in a container whose first process does not reap, they
 * stay for ever.
 */
export function groupIsAlive(group: number): boolean {
  try {
    process.kill(-group, 0);
  } catch (error) {
    return !isNoSuchProcess(error);
  }
  if (process.platform !== 'linux') return true;
  return readdirSync('/proc').some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    const stat = readProc(Number(entry), 'stat');
    if (stat === undefined) return false;
    const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(pgrp) === group && state !== 'Z' && state !== 'X';
  });
}

/**
 * Sends a signal to exactly this process; does nothing when it ended or its number was reused.
 *
 * @returns whether the signal was delivered
 */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (error) {
    if (isNoSuchProcess(error)) return false;
    throw error;
  }
}

/** Exit code by the shells' rule for a process ended by a signal: 128 + number. */
export function exitCodeOfSignal(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/** The signal that an exit code means by the same rule; only those that end a process by a fault or from outside. */
export function signalOfExitCode(exitCode: number): NodeJS.Signals | undefined {
  return ENDING_SIGNALS.find((signal) => exitCodeOfSignal(signal) === exitCode);
}

const ENDING_SIGNALS = ['SIGINT', 'SIGILL', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGKILL', 'SIGSEGV', 'SIGTERM'] as const;

function isNoSuchProcess(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ESRCH';
}

function signalZero(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isNoSuchProcess(error);
  }
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined; // ended meanwhile, or belongs to another user
  }
}

let cachedBootId: string | undefined;

function bootId(): string {
  if (cachedBootId === undefined) {
    try {
      cachedBootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().slice(0, 8);
    } catch {
      cachedBootId = '';
    }
  }
  return cachedBootId;
}
