import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { MkCiError } from '../../errors.js';
import type { Bundle, BundleStore } from './bundle.js';
import { programsOf } from './catalogue.js';

/**
 * Programs of a folder as they are: nothing is fetched, copied or checked against sums, and every version is said to be
 * what was asked for. For programs that somebody built, and for tests.
 *
 * The digest covers names, sizes and times of change: enough to tell a rebuilt folder from the old one.
 */
export function createFolderBundle(folder: string): BundleStore {
  const binaries = resolve(folder);
  return {
    ensure: async (kubernetesVersion, { parts, signal }): Promise<Bundle> => {
      signal.throwIfAborted();
      const hash = createHash('sha256');
      const missing: string[] = [];
      for (const program of programsOf(parts).map(({ name }) => name)) {
        const path = join(binaries, program);
        try {
          await access(path, constants.X_OK);
          const { size, mtimeMs } = await stat(path);
          hash.update(`${program}\0${size}\0${mtimeMs}\n`);
        } catch {
          missing.push(program);
        }
      }
      if (missing.length > 0) {
        throw new MkCiError('BND_NO_SOURCE', {
          message: `${binaries} has no ${missing.join(', ')}`,
          advice: 'Put the programs named there, executable.',
        });
      }
      return {
        kubernetesVersion,
        folder: binaries,
        binaries,
        digest: hash.digest('hex'),
        path: (program) => join(binaries, program),
      };
    },
  };
}
