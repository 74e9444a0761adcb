/**
 * The contract of drivers for `none`, which changes the host that it runs on: run only by `driver-given.test.ts`, inside of the
 * container that is its host. The variable names the folder of a kit there.
 */
import { describe, it } from 'vitest';

import { describeDriverContract } from '../../src/drivers/driver-contract.js';
import { createNoneDriver } from '../../src/drivers/none/index.js';
import { exec } from '../../src/exec.js';

const kit = process.env['MK_CI_TEST_KIT'];

if (kit === undefined) {
  describe('driver none', () => {
    it.skip('is not asked to change this host');
  });
} else {
  describeDriverContract('none', {
    create: () => createNoneDriver({ exec, isConfirmed: true }),
    machine: { image: kit },
    timeoutMs: 240_000,
  });
}
