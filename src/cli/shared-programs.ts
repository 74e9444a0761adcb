import type { Bundle, BundleStore } from '../cluster/bundle/index.js';
import type { CliContext } from './command.js';
import { createStepProgress, type ProgressContext } from './step-progress.js';

/**
 * Bundles for all that ask for them in one command, with progress. What failed once fails again at once. The work goes on when
 * one of those that wait gives up: only an interrupt of the command ends it.
 */
export function sharePrograms(store: BundleStore, context: ProgressContext & Pick<CliContext, 'signal'>): BundleStore {
  const asked = new Map<string, Promise<Bundle>>();
  return {
    ensure: async (kubernetesVersion, options) => {
      const key = [kubernetesVersion, ...options.parts].join(' ');
      let bundle = asked.get(key);
      if (bundle === undefined) {
        const progress = createStepProgress(context, { prefix: 'bundle: ' });
        bundle = store
          .ensure(kubernetesVersion, { ...options, signal: context.signal, onStep: progress.onStep })
          .finally(() => {
            progress[Symbol.dispose]();
          });
        asked.set(key, bundle);
      }
      return await whileWanted(bundle, options.signal);
    },
  };
}

/** What comes first: the end of the work, or the reason of the signal. */
async function whileWanted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const giveUp = (): void => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp, { once: true });
    void work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', giveUp);
    });
  });
}
