import { MkCiError, messageOf } from '../errors.js';
import type { Driver, DriverHealth } from './driver.js';
import type { DriverRegistry } from './registry.js';

/** What `--driver` may name in place of a driver. */
export const AUTO_DRIVER = 'auto';

/** A driver that was picked, and why it and no other. */
interface DriverChoice {
  readonly name: string;
  /** One sentence for people. */
  readonly why: string;
}

/** A driver that does not say in this time is passed over. */
const CHECK_MS = 20_000;

/**
 * Drivers in the order in which they are tried: those whose pods really run before those that simulate them, experimental ones
 * after all others, else as in the registry. Left out: those that only attach to what somebody else has made, or change a host
 * that is given. Pure.
 */
export function rankDrivers(drivers: readonly Driver[], platform: NodeJS.Platform): readonly Driver[] {
  const rank = ({ info }: Driver): number => (info.experimental ? 2 : 0) + (info.bootstrap === 'kubeadm' ? 0 : 1);
  return drivers
    .filter(({ info }) => info.bootstrap !== 'attach' && info.machines !== 'given' && info.platforms.includes(platform))
    .toSorted((left, right) => rank(left) - rank(right));
}

export interface ChoiceOptions {
  readonly signal: AbortSignal;
  /** @default that of this host */
  readonly platform?: NodeJS.Platform;
  /** Drivers that were tried, and what came of it. @default none */
  readonly tried?: ReadonlyMap<string, string>;
  /** Gets what machines of a driver are made of: one that is healthy may still fail at that. @default nothing is got */
  readonly prepare?: (name: string) => Promise<void>;
}

/**
 * The best driver that works on this host. Only for when nobody named one: a driver that was asked for is never replaced by another.
 *
 * @throws {MkCiError} `DRV_UNUSABLE` with what stands in the way of each, when none works
 */
export async function chooseDriver(
  registry: Pick<DriverRegistry, 'names' | 'get'>,
  { signal, platform = process.platform, tried, prepare }: ChoiceOptions,
): Promise<DriverChoice> {
  const ranked = rankDrivers(
    registry.names.map((name) => registry.get(name)),
    platform,
  );
  const passedOver: string[] = [];
  for (const driver of ranked) {
    const { name, summary } = driver.info;
    const reason =
      tried?.get(name) ??
      reasonAgainst(await checkInTime(driver, signal)) ??
      (await failureOf(async () => await prepare?.(name), signal));
    if (reason === undefined) {
      const others = passedOver.length === 0 ? '' : ` (not ${passedOver.join('; not ')})`;
      return { name, why: `driver ${name}: ${summary}${others}` };
    }
    passedOver.push(`${name}: ${reason}`);
  }
  throw new MkCiError('DRV_UNUSABLE', {
    message: `no driver works on this host: ${passedOver.join('; ')}`,
    advice: 'Run mk-ci doctor, which says how to get what is missing.',
  });
}

function reasonAgainst({ usable, problems }: DriverHealth): string | undefined {
  return usable ? undefined : (problems[0]?.message ?? 'it does not work here');
}

/** @returns why it failed; `undefined` when it did not */
async function failureOf(act: () => Promise<void>, signal: AbortSignal): Promise<string | undefined> {
  try {
    await act();
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return messageOf(error);
  }
}

async function checkInTime(driver: Driver, signal: AbortSignal): Promise<DriverHealth> {
  const limit = AbortSignal.timeout(CHECK_MS);
  try {
    return await driver.check(AbortSignal.any([signal, limit]));
  } catch (error) {
    signal.throwIfAborted();
    const message = limit.aborted ? `no answer within ${CHECK_MS / 1000} s` : messageOf(error);
    return { usable: false, problems: [{ reason: 'DRV_CHECK_FAILED', message, fix: 'Run mk-ci doctor.' }], facts: {} };
  }
}
