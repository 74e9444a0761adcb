/**
 * The rules of the driver contract against real engines. Needs docker or podman that answers, as root, and a node image in the
 * cache or what is needed to make one; an engine that lacks something is skipped with a word. About a minute an engine.
 */
import { describe, it } from 'vitest';

import { describeDriverContract } from '../src/drivers/driver-contract.js';
import { DOCKER, PODMAN, createContainerDriver } from '../src/drivers/container/index.js';
import { exec } from '../src/exec.js';
import { findNodeImage } from './engines.js';

for (const traits of [DOCKER, PODMAN]) {
  const found = await findNodeImage(traits.name);
  if ('missing' in found) {
    describe(`driver contract: ${traits.name}`, () => {
      it.skip(found.missing);
    });
  } else {
    describeDriverContract(traits.name, {
      create: () => createContainerDriver({ traits, exec }),
      machine: { image: found.reference },
      timeoutMs: 180_000,
    });
  }
}
