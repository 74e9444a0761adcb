import { describe, expect, it } from 'vitest';

import type { ClusterSpec } from '../cluster/cluster.js';
import { keepSpec, showSpec } from './cluster-start.js';

const have: ClusterSpec = {
  name: 'demo',
  driver: 'docker',
  containerRuntime: 'docker',
  kubernetesVersion: 'v1.35.4',
  nodes: 3,
  options: { controlPlanes: 3, addons: ['metrics-server'] },
};
/** As flags with their defaults would have it. */
const asked: ClusterSpec = { name: 'demo', driver: 'local', kubernetesVersion: 'v1.36.3', nodes: 0 };

function keep(given: Partial<ClusterSpec>): ClusterSpec {
  return keepSpec(have, { ...asked, ...given }, (flag) => Object.keys(given).includes(flag));
}

describe('a cluster that is there', () => {
  it('stays as it is when nothing is asked for', () => {
    expect(keep({})).toEqual(have);
    const bare: ClusterSpec = { name: 'demo', driver: 'local', kubernetesVersion: 'v1.35.4', nodes: 1 };
    expect(keepSpec(bare, asked, () => false)).toEqual(bare);
  });

  it('is shown without its options, which may hold secrets, but with those that were asked for', () => {
    const addons = [{ manifest: 'kind: Secret' }];
    const { options: _, ...rest } = have;
    expect(showSpec({ ...have, options: { addons } }, asked)).toEqual(rest);
    expect(showSpec(have, { options: { controlPlanes: 3 } })).toEqual({ ...rest, options: { controlPlanes: 3 } });
  });

  it('keeps its driver when the best one is asked for', () => {
    expect(keep({ driver: 'auto' })).toEqual(have);
  });

  it('is compared with what was asked for by name, also where that is a default', () => {
    expect(keep({ driver: 'local', nodes: 0 })).toEqual({ ...have, driver: 'local', nodes: 0 });
    expect(keep({ kubernetesVersion: 'v1.36.3', containerRuntime: 'containerd' })).toMatchObject({
      kubernetesVersion: 'v1.36.3',
      containerRuntime: 'containerd',
    });
    expect(keep({ options: { controlPlanes: 1 } }).options).toEqual({ controlPlanes: 1, addons: ['metrics-server'] });
  });
});
