import { describe, expect, it } from 'vitest';

import type { MachineImages } from '../../../../drivers/driver.js';
import { pinImage } from './find-image.js';

const { signal } = new AbortController();

function imagesOf(acceptsIdentity: boolean | undefined): MachineImages {
  return {
    identify: (reference) => Promise.resolve(`identity of ${reference}`),
    ...(acceptsIdentity === undefined ? {} : { acceptsIdentity }),
  };
}

describe('the image that a machine is recorded with', () => {
  it('is the identity where a machine can be made from one', async () => {
    expect(await pinImage({ images: imagesOf(true) }, 'node:v1', signal)).toBe('identity of node:v1');
  });

  it('is none where an identity is no place to make a machine from: a folder of disks, a kit', async () => {
    expect(await pinImage({ images: imagesOf(undefined) }, '/images/v1', signal)).toBeUndefined();
    expect(await pinImage({ images: imagesOf(false) }, '/images/v1', signal)).toBeUndefined();
  });

  it('is none where the driver has no images', async () => {
    expect(await pinImage({}, 'node:v1', signal)).toBeUndefined();
  });
});
