import { describe, expect, it } from 'vitest';

import { nodeLayerEntries } from './node-layer.js';

const entries = nodeLayerEntries({
  bundle: { path: (name) => `/bundle/${name}` },
  images: [],
  sizeOf: () => 1,
  facts: {
    ...{
      format: 'mk-ci-node-image/1',
      kubernetesVersion: 'v1.36.3',
      arch: 'amd64',
      key: '0'.repeat(16),
      bundleDigest: 'd',
      rootfsSha256: 's',
    },
    ...{ images: [], pauseImage: 'p', runtimes: ['containerd'] },
  },
});
const find = (path: string) => entries.find((entry) => entry.path === path);

describe('the layer of a node', () => {
  it('leaves the settings of the kernel to the host, whose they are where a node is a container', () => {
    const link = { kind: 'link', target: '/dev/null' };
    expect(find('etc/systemd/system/systemd-sysctl.service')).toMatchObject(link);
    expect(find('etc/systemd/system/systemd-binfmt.service')).toMatchObject(link);
  });

  it('tells systemd that nothing is left to be done for a first start', () => {
    for (const path of ['etc/.updated', 'var/.updated']) expect(find(path), path).toMatchObject({ kind: 'file' });
  });
});
