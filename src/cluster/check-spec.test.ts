import { describe, expect, it } from 'vitest';

import type { Driver } from '../drivers/index.js';
import { createDriverRegistry } from '../drivers/index.js';
import { exec } from '../exec.js';
import { checkSpec } from './check-spec.js';
import type { ClusterSpec } from './cluster.js';

const drivers = createDriverRegistry({ exec });
const info = (name: string): Driver['info'] => drivers.get(name).info;
const spec = (driver: string, options: object): ClusterSpec => ({
  name: 'demo',
  driver,
  kubernetesVersion: 'v1.36.3',
  nodes: 0,
  options: { ...options },
});

describe('what a cluster is asked to be', () => {
  it('is refused where an option would have no effect, with the name of the option', () => {
    for (const [driver, options] of [
      ['local', { controlPlanes: 3 }],
      ['local', { addons: [{ manifest: 'kind: Namespace' }] }],
      ['local', { addons: ['metrics-server'] }],
      ['existing', { addons: ['metrics-server'] }],
      ['local', { kubeconfig: '/tmp/config' }],
      ['existing', { extraFlags: {} }],
    ] as const) {
      const [key = ''] = Object.keys(options);
      expect(() => {
        checkSpec(spec(driver, options), info(driver));
      }).toThrow(expect.objectContaining({ code: 'CFG_INVALID', message: expect.stringContaining(key) as string }));
    }
  });

  it('is taken with the options that each way of making clusters has', () => {
    checkSpec(spec('local', { extraFlags: { 'kube-apiserver': ['--v=4'] } }), info('local'));
    checkSpec(spec('existing', { kubeconfig: 'a', context: 'b' }), info('existing'));
    checkSpec(spec('local', {}), info('local'));
  });
});
