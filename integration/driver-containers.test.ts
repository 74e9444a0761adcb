// Needs docker or podman, running, as root; each engine that is not there is skipped. Makes an image of 0.5 MB from busybox
// programs of this host when there is no node image: MK_CI_TEST_NODE_IMAGE names another one.
import { describe, it } from 'vitest';

import { describeDriverContract } from '../src/drivers/driver-contract.js';
import { DOCKER, PODMAN, createContainerDriver } from '../src/drivers/container/index.js';
import { exec } from '../src/exec.js';

const { signal } = new AbortController();
const IMAGE = process.env['MK_CI_TEST_NODE_IMAGE'] ?? 'mk-ci-test-root:1';

for (const traits of [DOCKER, PODMAN]) {
  const driver = createContainerDriver({ traits, exec });
  const { usable } = await driver.check(signal);
  const hasImage = usable && (await driver.images?.identify(IMAGE, signal)) !== undefined;
  if (hasImage) {
    describeDriverContract(traits.name, {
      create: () => createContainerDriver({ traits, exec }),
      machine: { image: IMAGE },
      timeoutMs: 120_000,
    });
  } else {
    describe(`driver contract: ${traits.name}`, () => {
      it.skip(usable ? `the image ${IMAGE} is not there` : 'the engine does not run');
    });
  }
}
