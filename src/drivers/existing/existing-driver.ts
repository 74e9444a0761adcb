import type { Driver } from '../driver.js';

/**
 * A cluster that is there already, reached by a kubeconfig. Nothing on the host is needed; whether the cluster answers is
 * asked when one attaches to it.
 */
export function createExistingDriver(): Driver {
  return {
    info: {
      name: 'existing',
      summary: 'a cluster that runs already, given by kubeconfig and context; never changed, never deleted',
      machines: 'none',
      bootstrap: 'attach',
      maxMachines: 0,
      platforms: ['linux', 'darwin', 'win32'],
      architectures: ['amd64', 'arm64'],
      containerRuntimes: [],
      experimental: false,
    },
    check: async (signal) => {
      signal.throwIfAborted();
      return { usable: true, problems: [], facts: {} };
    },
  };
}
