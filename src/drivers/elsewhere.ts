import { MkCiError } from '../errors.js';
import type { Driver } from './driver.js';

/**
 * A driver on an operating system that it is not for: it says so, and which drivers there are, before anything is asked of its tools.
 * It has no machines there.
 *
 * @param here names of the drivers for this operating system
 */
export function elsewhere(driver: Driver, platform: NodeJS.Platform, here: readonly string[]): Driver {
  const { info, machines } = driver;
  const refusal = (): MkCiError =>
    new MkCiError('DRV_UNSUPPORTED', {
      message: `driver ${info.name} on ${platform}: it is for ${info.platforms.join(' and ')}`,
      advice: `Drivers for ${platform}: ${here.join(', ')}.`,
    });
  const refuse = async (): Promise<never> => {
    throw refusal();
  };
  return {
    info,
    check: async (signal) => {
      signal.throwIfAborted();
      return {
        usable: false,
        problems: [
          {
            reason: 'DRV_UNSUPPORTED',
            message: `driver ${info.name} is for ${info.platforms.join(' and ')}, this is ${platform}`,
            fix: `Use one of the drivers for ${platform}: ${here.join(', ')}.`,
          },
        ],
        facts: {},
      };
    },
    ...(machines === undefined
      ? {}
      : {
          machines: {
            ...{ create: refuse, attach: refuse, start: refuse, stop: refuse, pause: refuse, unpause: refuse },
            remove: async () => undefined,
            list: async () => [],
          },
        }),
  };
}
