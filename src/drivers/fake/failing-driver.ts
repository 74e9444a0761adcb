import { MkCiError } from '../../errors.js';
import type { Driver } from '../driver.js';

/** A driver that never works: its check says why, everything else throws the same. */
export function createFailingDriver(message = 'it was made to fail'): Driver {
  const fail = async (): Promise<never> => {
    throw new MkCiError('DRV_FAILED', { message });
  };
  return {
    info: {
      name: 'failing',
      summary: 'fails whatever it is asked, for tests',
      machines: 'created',
      bootstrap: 'processes',
      maxMachines: 10,
      platforms: ['linux', 'darwin', 'win32'],
      architectures: ['amd64', 'arm64'],
      containerRuntimes: [],
      experimental: true,
    },
    check: async (signal) => {
      signal.throwIfAborted();
      return {
        usable: false,
        problems: [{ reason: 'DRV_FAILING', message, fix: 'Choose another driver.' }],
        facts: {},
      };
    },
    machines: {
      create: fail,
      attach: fail,
      start: fail,
      stop: fail,
      pause: fail,
      unpause: fail,
      remove: async () => undefined, // there is never anything to remove
      list: async () => [],
    },
  };
}
