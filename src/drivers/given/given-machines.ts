import { createHash } from 'node:crypto';

import { MkCiError, isMkCiError, messageOf } from '../../errors.js';
import type { ExecOptions, ExecResult } from '../../exec.js';
import type { Machine, MachineOperations, MachineSpec, MachineState, MachineSummary } from '../driver.js';
import { throwProblems } from '../health.js';
import type { Claim } from './claim.js';
import { PAYLOAD_FOLDER, pathsOf, readKit, type Footprint, type Kit } from './footprint.js';
import { judgeHost, parseFacts, renderFactsScript, type GivenHostFacts } from './host-facts.js';
import {
  MACHINE_VARIABLE,
  TAKEN,
  renderClaim,
  renderFreeze,
  renderInstall,
  renderRestore,
  renderSetAside,
  renderStop,
  renderWriteClaim,
} from './render-claim.js';

/** How commands and files get to a host, where commands run as root. Made for one call or many; holds nothing that has to be closed. */
export interface GivenHost extends Pick<Machine, 'exec' | 'session' | 'copyTo' | 'copyFrom'> {
  /** For people, such as `root@192.0.2.7:22`. */
  readonly where: string;
  /** At which this host reaches its ports. */
  readonly reachedAt: string;
}

/** Which host a machine is. */
export interface GivenHosts {
  /** Names of machines that may be there. */
  names(signal: AbortSignal): Promise<readonly string[]>;
  /** @returns `undefined` when no host is known for this name */
  find(name: string, signal: AbortSignal): Promise<GivenHost | undefined>;
  /** The host for a machine that is to be; it is found by the name from then on. @throws {MkCiError} for options that name none */
  note(spec: MachineSpec, signal: AbortSignal): Promise<GivenHost>;
  forget(name: string): Promise<void>;
}

export interface GivenMachinesOptions {
  readonly driver: string;
  readonly hosts: GivenHosts;
  readonly now: () => Date;
  /** Asked before anything is changed. @throws {MkCiError} `DRV_NOT_CONFIRMED` */
  readonly confirm: (kit: Kit, where: string) => void;
}

const ASK_MS = 20_000;
/** For all else: units get 45 s each for an orderly end. */
const CHANGE_MS = 180_000;
/** Putting back what a failed `create` did has its own limit. */
const UNDO_MS = 240_000;

/** What a cluster needs of a host, for a check that is made without a kit. */
export interface HostUse extends Pick<Footprint, 'conflicts' | 'ports'> {
  readonly subnets?: readonly string[];
  /** Ports on which it has to be reached from here. */
  readonly reached?: readonly number[];
}

export const NO_CONFLICTS: HostUse = { conflicts: { units: [], paths: [] }, ports: [] };

/**
 * Machines that exist: a host is claimed, gets what a kit brings, and is put back as it was when the machine is removed. What was
 * there and what was changed is noted on the host, so that any mk-ci that reaches it can undo it.
 *
 * A host is one machine at a time. There is no queue: who comes second is refused.
 */
export function createGivenMachines(options: GivenMachinesOptions): MachineOperations {
  const { driver, hosts, now } = options;

  const claimOf = async (
    host: GivenHost,
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly facts: GivenHostFacts; readonly claim: Claim | undefined }> => {
    const facts = await askHost(host, NO_CONFLICTS, signal);
    return { facts, claim: facts.claim?.name === name ? facts.claim : undefined };
  };
  const find = async (
    name: string,
    signal: AbortSignal,
  ): Promise<{
    readonly host: GivenHost;
    readonly claim: Claim;
    readonly state: MachineState;
    readonly bootId: string;
  }> => {
    signal.throwIfAborted();
    const host = await hosts.find(name, signal);
    const { facts, claim } = host === undefined ? {} : await claimOf(host, name, signal);
    if (host === undefined || claim === undefined || facts === undefined) {
      throw new MkCiError('DRV_MACHINE_NOT_FOUND', { message: `${name} (${driver})` });
    }
    return { host, claim, state: stateOf(claim, facts), bootId: facts.bootId };
  };
  const machineOf = (host: GivenHost, { name, address }: Claim): Machine => ({
    name,
    internalAddress: address,
    exec: async (argv, execOptions = {}) =>
      await host.exec(argv, { ...execOptions, env: { ...execOptions.env, ...markOf(name) } }),
    ...(host.session === undefined ? {} : { session: host.session }),
    copyTo: host.copyTo,
    copyFrom: host.copyFrom,
    endpoint: async (port) => ({ host: host.reachedAt, port }),
  });
  const write = async (host: GivenHost, claim: Claim, signal: AbortSignal): Promise<Claim> => {
    await runOn(host, renderWriteClaim(claim), { timeoutMs: ASK_MS, signal });
    return claim;
  };

  /** @throws {MkCiError} `DRV_RESTORE_FAILED` with what is left */
  const restore = async (
    host: GivenHost,
    claim: Pick<Claim, 'name' | 'footprint' | 'paths'>,
    signal: AbortSignal,
  ): Promise<void> => {
    const { stdout } = await runOn(host, renderRestore(claim), { timeoutMs: UNDO_MS, signal });
    const left = stdout.split('\n').flatMap((line) => /^left (.+)$/.exec(line)?.[1] ?? []);
    if (left.length === 0) return;
    throw new MkCiError('DRV_RESTORE_FAILED', { message: `${host.where}: ${left.join(', ')}`, details: { left } });
  };

  const prepare = async (host: GivenHost, claim: Claim, kit: Kit, signal: AbortSignal): Promise<Claim> => {
    const limit = { timeoutMs: CHANGE_MS, signal, env: markOf(claim.name) };
    await runOn(host, renderSetAside(claim), limit);
    await host.copyTo(kit.payload, PAYLOAD_FOLDER, signal);
    await runOn(host, renderInstall(kit), limit);
    return await write(host, { ...claim, state: 'running' }, signal);
  };

  const create = async (spec: MachineSpec, signal: AbortSignal): Promise<Machine> => {
    signal.throwIfAborted();
    const kit = await readKit(spec.image ?? '');
    const known = await hosts.find(spec.name, signal);
    const host = await hosts.note(spec, signal);
    try {
      return await createOn(host, spec, kit, signal);
    } catch (error) {
      // Another machine of this name keeps its note; one that was put back needs none.
      const isLeft = isMkCiError(error, 'DRV_RESTORE_FAILED') || isMkCiError(error, 'DRV_MACHINE_EXISTS');
      if (known === undefined && !isLeft) await hosts.forget(spec.name);
      throw error;
    }
  };
  const createOn = async (host: GivenHost, spec: MachineSpec, kit: Kit, signal: AbortSignal): Promise<Machine> => {
    let facts = await askHost(host, kit.footprint, signal);
    const digest = specDigest(spec, kit);
    if (facts.claim !== undefined) {
      const { claim } = facts;
      if (claim.name !== spec.name) throw takenBy(host, claim);
      if (claim.specDigest !== digest) {
        throw new MkCiError('DRV_MACHINE_EXISTS', {
          message: `${spec.name} of another owner or configuration on ${host.where}`,
        });
      }
      if (claim.state !== 'preparing') return await start(spec.name, signal);
      await restore(host, claim, signal); // an earlier start of it was interrupted
      facts = await askHost(host, kit.footprint, signal);
    }
    if (facts.isClaimed) throw takenBy(host, facts.claim);
    throwProblems(judgeHost(facts, host.where, kit.arch, spec.subnets), driver);
    options.confirm(kit, host.where);
    const claim: Claim = {
      version: 1,
      name: spec.name,
      labels: { ...spec.labels },
      specDigest: digest,
      state: 'preparing',
      bootId: facts.bootId,
      address: facts.address,
      kitKey: kit.key,
      createdAt: now().toISOString(),
      footprint: kit.footprint,
      paths: pathsOf(kit),
    };
    const claimed = await host.exec(['sh'], {
      input: renderClaim(claim),
      allowFailure: true,
      timeoutMs: CHANGE_MS,
      signal,
    });
    if (claimed.exitCode === TAKEN) throw takenBy(host, (await askHost(host, NO_CONFLICTS, signal)).claim);
    if (claimed.exitCode !== 0) throw failedOn(host, claimed.stderr);
    try {
      return machineOf(host, await prepare(host, claim, kit, signal));
    } catch (error) {
      try {
        await restore(host, claim, AbortSignal.timeout(UNDO_MS));
      } catch (second) {
        throw new MkCiError('DRV_RESTORE_FAILED', {
          message: `${host.where}: ${messageOf(error)}; then ${messageOf(second)}`,
          cause: new AggregateError([error, second]),
        });
      }
      throw error;
    }
  };

  const start = async (name: string, signal: AbortSignal): Promise<Machine> => {
    const { host, claim, state, bootId } = await find(name, signal);
    if (state === 'broken') throw new MkCiError('DRV_FAILED', { message: `${host.where} was never ready as ${name}` });
    if (state === 'paused') await runOn(host, renderFreeze(claim, 'CONT'), { timeoutMs: CHANGE_MS, signal });
    if (state === 'running') return machineOf(host, claim);
    return machineOf(host, await write(host, { ...claim, state: 'running', bootId }, signal));
  };

  return {
    create,
    start,
    attach: async (name, signal) => {
      const { host, claim, state } = await find(name, signal);
      if (state !== 'running') throw new MkCiError('DRV_FAILED', { message: `${name} does not run (${state})` });
      return machineOf(host, claim);
    },
    stop: async (name, signal) => {
      const { host, claim, state } = await find(name, signal);
      if (state === 'stopped' || state === 'broken') return;
      await runOn(host, renderStop(claim), { timeoutMs: CHANGE_MS, signal });
      await write(host, { ...claim, state: 'stopped' }, signal);
    },
    pause: async (name, signal) => {
      const { host, claim, state } = await find(name, signal);
      if (state !== 'running') return;
      await runOn(host, renderFreeze(claim, 'STOP'), { timeoutMs: CHANGE_MS, signal });
      await write(host, { ...claim, state: 'paused' }, signal);
    },
    unpause: async (name, signal) => {
      const { host, claim, state } = await find(name, signal);
      if (state !== 'paused') return;
      await runOn(host, renderFreeze(claim, 'CONT'), { timeoutMs: CHANGE_MS, signal });
      await write(host, { ...claim, state: 'running' }, signal);
    },
    remove: async (name, signal) => {
      signal.throwIfAborted();
      const host = await hosts.find(name, signal);
      if (host === undefined) return;
      const { claim } = await claimOf(host, name, signal);
      if (claim !== undefined) await restore(host, claim, signal);
      await hosts.forget(name);
    },
    list: async (labels, signal) => {
      signal.throwIfAborted();
      const wanted = Object.entries(labels);
      const found = await Promise.all(
        (await hosts.names(signal)).map(async (name): Promise<MachineSummary | undefined> => {
          const host = await hosts.find(name, signal);
          if (host === undefined) return undefined;
          const { facts, claim } = await claimOf(host, name, signal);
          return claim === undefined ? undefined : { name, state: stateOf(claim, facts), labels: claim.labels };
        }),
      );
      return found.filter(
        (machine): machine is MachineSummary =>
          machine !== undefined && wanted.every(([key, value]) => machine.labels[key] === value),
      );
    },
  };
}

/** Asks a host what it is. @param footprint what has to be free on it */
export async function askHost(
  host: GivenHost,
  footprint: Parameters<typeof renderFactsScript>[0],
  signal: AbortSignal,
): Promise<GivenHostFacts> {
  const script = renderFactsScript(footprint);
  return parseFacts((await host.exec(['sh'], { input: script, timeoutMs: ASK_MS, signal })).stdout);
}

const markOf = (name: string): Readonly<Record<string, string>> => ({ [MACHINE_VARIABLE]: name });

async function runOn(
  host: GivenHost,
  script: string,
  limit: Pick<ExecOptions, 'env'> & { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<ExecResult> {
  const result = await host.exec(['sh'], { input: script, allowFailure: true, ...limit });
  if (result.exitCode === 0) return result;
  throw failedOn(host, result.timedOut ? `no end after ${limit.timeoutMs / 1000} s` : result.stderr);
}

function failedOn({ where }: GivenHost, said: string): MkCiError {
  const lines = said.trim().split('\n').slice(-15);
  const code = /No space left on device|Disk quota exceeded/.test(said) ? 'HOST_DISK_FULL' : 'DRV_FAILED';
  return new MkCiError(code, {
    message: `${where}: ${lines.at(-1)?.slice(0, 300) ?? ''}`,
    details: { output: lines.join('\n') },
  });
}

function takenBy({ where }: GivenHost, claim: Claim | undefined): MkCiError {
  if (claim === undefined) {
    return new MkCiError('DRV_HOST_IN_USE', {
      message: `${where} has the notes of a cluster that can not be read`,
      advice: 'Look into /var/lib/mk-ci-host on it, put back by hand what is in its folder saved, and remove it.',
    });
  }
  return new MkCiError('DRV_HOST_IN_USE', {
    message: `${where} is ${claim.name} of cluster ${claim.labels['cluster'] ?? '?'}, since ${claim.createdAt}`,
    details: { claimedBy: claim.name, folder: claim.labels['folder'] },
  });
}

function stateOf(claim: Claim, { bootId }: Pick<GivenHostFacts, 'bootId'>): MachineState {
  if (claim.state === 'preparing') return 'broken';
  return claim.bootId === bootId ? claim.state : 'stopped';
}

function specDigest({ name, labels, options = {} }: MachineSpec, kit: Pick<Kit, 'key'>): string {
  const sorted = (record: Readonly<Record<string, unknown>>): [string, unknown][] =>
    Object.entries(record).sort(([left], [right]) => (left < right ? -1 : 1));
  const content = JSON.stringify([name, sorted(labels), sorted(options), kit.key]);
  return createHash('sha256').update(content).digest('hex').slice(0, 16);
}
