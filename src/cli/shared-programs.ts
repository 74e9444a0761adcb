import type { Bundle, BundleStore } from '../cluster/bundle/index.js';
import type { CliContext } from './command.js';
import { createSharedWork } from './shared-work.js';
import { createStepProgress, type ProgressContext } from './step-progress.js';

/** Bundles for all that ask for them in one command, with progress, see {@link createSharedWork}. */
export function sharePrograms(store: BundleStore, context: ProgressContext & Pick<CliContext, 'signal'>): BundleStore {
  const share = createSharedWork<Bundle>();
  return {
    ensure: async (kubernetesVersion, options) =>
      await share(
        [kubernetesVersion, ...options.parts].join(' '),
        async () => {
          using progress = createStepProgress(context, { prefix: 'bundle: ' });
          return await store.ensure(kubernetesVersion, { ...options, signal: context.signal, onStep: progress.onStep });
        },
        options.signal,
      ),
  };
}
