/**
 * The rules of the driver contract against a real engine. Needs docker that answers, as root, or with
 * MK_CI_TEST_ENGINE=podman that, and a node image in the cache or what is needed to make one; else skipped with a word.
 * About a minute.
 */
import { describeDriverContract } from '../src/drivers/driver-contract.js';
import { DOCKER, PODMAN, createContainerDriver } from '../src/drivers/container/index.js';
import { exec } from '../src/exec.js';
import { TEST_ENGINE, describeWithNodeImage, findNodeImage } from './engines.js';

const traits = TEST_ENGINE === 'podman' ? PODMAN : DOCKER;
const found = await findNodeImage(traits.name);

describeWithNodeImage(`an engine: ${traits.name}`, found, (image) => {
  describeDriverContract(traits.name, {
    create: () => createContainerDriver({ traits, exec }),
    machine: { image },
    timeoutMs: 180_000,
  });
});
