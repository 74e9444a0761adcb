import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';

import { isMkCiError } from '../../errors.js';
import { PORT_NAMES, clusterFolderAt } from '../folder.js';
import { clusterPkiFiles } from '../pki.js';
import { planControlPlane, type ControlPlaneInput } from './component-plans.js';
import { codeOfFailure, recogniseFailure } from './known-failures.js';
import { renderKwokStages } from './kwok-stages.js';
import { fakeNode } from './nodes.js';
import { assignPorts, extraFlagsOf } from './process-clusters.js';

const INPUT: ControlPlaneInput = {
  paths: clusterFolderAt('/state/clusters/demo'),
  pki: clusterPkiFiles('/state/clusters/demo/pki'),
  ports: { etcdClient: 1, etcdPeer: 2, apiServer: 3, controllerManager: 4, scheduler: 5, kwok: 6 },
  bundle: { path: (program) => `/bundle/${program}` },
  hasNodes: true,
  ownership: { cluster: 'demo', folder: '/state/clusters/demo', runId: 'r1' },
};
const SPEC = { name: 'demo', driver: 'local', kubernetesVersion: 'v1.36.3', nodes: 0 };

describe('planControlPlane', () => {
  it('starts etcd, then the API server, then the rest; kwok only for nodes', () => {
    const order = planControlPlane(INPUT).map(({ name, after }) => [name, ...after]);
    expect(order).toEqual([
      ['etcd'],
      ['kube-apiserver', 'etcd'],
      ['kube-controller-manager', 'kube-apiserver'],
      ['kube-scheduler', 'kube-apiserver'],
      ['kwok', 'kube-apiserver'],
    ]);
    expect(planControlPlane({ ...INPUT, hasNodes: false }).map(({ name }) => name)).not.toContain('kwok');
  });

  it('listens on loopback only, and lets nobody in without a certificate or token', () => {
    const flags = new Map(planControlPlane(INPUT).map(({ name, argv }) => [name, argv]));
    for (const name of ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler']) {
      expect(flags.get(name)).toContain('--bind-address=127.0.0.1');
    }
    expect(flags.get('kube-apiserver')).toEqual(
      expect.arrayContaining(['--anonymous-auth=false', '--authorization-mode=Node,RBAC', '--secure-port=3']),
    );
    expect([...flags.values()].flat().join(' ')).not.toMatch(/0\.0\.0\.0/);
  });

  it('gives every component its own role beside the labels of the cluster', () => {
    for (const { name, labels } of planControlPlane(INPUT)) {
      expect(labels).toEqual({ role: name, cluster: 'demo', folder: '/state/clusters/demo', run: 'r1' });
    }
  });

  it('puts extra flags last, where they win', () => {
    const extraFlags = { 'kube-apiserver': ['--v=4'] };
    const api = planControlPlane({ ...INPUT, extraFlags }).find(({ name }) => name === 'kube-apiserver');
    expect(api?.argv.at(-1)).toBe('--v=4');
  });

  it('keeps ports and places out of what a clone takes over', () => {
    const other = planControlPlane({ ...INPUT, paths: clusterFolderAt('/elsewhere') })[0]?.argv;
    expect(other).toContain('--name=node');
    expect(other).toContain('--data-dir=/elsewhere/etcd');
  });
});

describe('assignPorts', () => {
  const leases = (ports: readonly number[]): { port: number }[] => ports.map((port) => ({ port }));

  it('keeps the ports that could be had again, whatever order they come in', () => {
    const old = { etcdClient: 1, etcdPeer: 2, apiServer: 3, controllerManager: 4, scheduler: 5, kwok: 6 };
    expect(assignPorts(leases([6, 5, 4, 99, 2, 1]), old)).toEqual({ ...old, apiServer: 99 });
    expect(assignPorts(leases([11, 12, 13, 14, 15, 16]), undefined).etcdPeer).toBe(12);
  });

  it('gives every port to exactly one', () => {
    const ports = fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(ports, ports, (now, before) => {
        const old = assignPorts(leases(before), undefined);
        const next = assignPorts(leases(now), old);
        expect(Object.values(next).sort()).toEqual(now.toSorted());
        for (const name of PORT_NAMES) if (now.includes(old[name])) expect(next[name]).toBe(old[name]);
      }),
    );
  });
});

describe('extraFlagsOf', () => {
  it('takes lists of flags by component', () => {
    expect(extraFlagsOf(SPEC)).toEqual({});
    expect(extraFlagsOf({ ...SPEC, options: { extraFlags: { etcd: ['--x'] } } })).toEqual({ etcd: ['--x'] });
  });

  it.each([['--v=4'], 'x', null, { etcd: '--x' }, { etcd: [1] }].map((value) => [value]))(
    'refuses %j',
    (extraFlags) => {
      try {
        extraFlagsOf({ ...SPEC, options: { extraFlags } });
        expect.unreachable();
      } catch (error) {
        expect(isMkCiError(error, 'CFG_INVALID')).toBe(true);
      }
    },
  );
});

describe('recogniseFailure', () => {
  // Lines printed by the programs of Kubernetes v1.36.3 and etcd 3.6.5, shortened; made by hand-made faults, 2026-11.
  it.each([
    [
      'port-taken',
      'failed to create listener: failed to listen on 127.0.0.1:26282: listen tcp: bind: address already in use',
    ],
    ['flags', 'Error: unknown flag: --no-such-flag'],
    ['disk-full', 'write /state/etcd/member/wal/0.tmp: no space left on device'],
    ['data', 'panic: wal: crc mismatch'],
    ['permission', 'open /state/etcd/member: permission denied'],
    ['certificate', 'tls: failed to verify certificate: x509: certificate has expired or is not yet valid'],
    ['limits', 'accept4: too many open files'],
  ])('knows %s', (kind, line) => {
    expect(recogniseFailure(['first', line, 'last'])?.kind).toBe(kind);
  });

  it('blames the host for a full disk, and the component for the rest', () => {
    const code = (line: string) => codeOfFailure(recogniseFailure([line]), 'K8S_COMPONENT_FAILED');
    expect(code('write /state/etcd/member/wal/0.tmp: no space left on device')).toBe('HOST_DISK_FULL');
    expect(code('panic: wal: crc mismatch')).toBe('K8S_COMPONENT_FAILED');
    expect(code('what nobody knows')).toBe('K8S_COMPONENT_FAILED');
  });

  it('knows nothing of the rest', () => {
    expect(recogniseFailure([])).toBeUndefined();
    expect(recogniseFailure(['everything is fine'])).toBeUndefined();
  });
});

describe('renderKwokStages', () => {
  it('is YAML with stages for nodes and pods, of different names', () => {
    const stages = parseAllDocuments(renderKwokStages()).map((document) => {
      expect(document.errors).toEqual([]);
      return document.toJS() as { kind: string; metadata: { name: string }; spec: { resourceRef: { kind: string } } };
    });
    expect(stages.map(({ kind }) => kind)).toEqual(stages.map(() => 'Stage'));
    expect(new Set(stages.map(({ metadata }) => metadata.name)).size).toBe(stages.length);
    expect(new Set(stages.map(({ spec }) => spec.resourceRef.kind))).toEqual(new Set(['Node', 'Pod']));
  });

  it('plays only nodes that are marked', () => {
    expect(fakeNode(3).metadata).toMatchObject({ name: 'node-3', annotations: { 'kwok.x-k8s.io/node': 'fake' } });
  });
});
