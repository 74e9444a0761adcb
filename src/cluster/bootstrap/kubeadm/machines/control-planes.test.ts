import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';

import { exec } from '../../../../exec.js';
import { createTemporaryFolder } from '../../../../files.js';
import type { ClusterSpec } from '../../../cluster.js';
import { apiRouteFiles, renderApiAddresses } from '../render/api-route.js';
import { renderBalancerScript } from '../nodes/balancer.js';
import { findNode, planMachines } from './cluster-machines.js';
import {
  checkControlPlaneGoes,
  controlPlaneAddress,
  controlPlaneName,
  controlPlaneNumber,
  planControlPlanes,
} from './control-planes.js';
import { memberIdOf, renderPackKeys } from '../nodes/join-control-plane.js';
import { parseNodeFacts } from '../render/node-facts.js';
import { renderInit, renderJoin } from '../render/render-kubeadm.js';
import { renderNetworkScript, type PeerNode } from '../render/render-network.js';
import { readSettings } from '../settings.js';

const specOf = (controlPlanes: unknown, nodes = 0): ClusterSpec => ({
  name: 'c1',
  driver: 'docker',
  kubernetesVersion: 'v1.36.3',
  nodes,
  ...(controlPlanes === undefined ? {} : { options: { controlPlanes } }),
});
const settings = readSettings(specOf(3), []);
const facts = parseNodeFacts('');

const peers: PeerNode[] = [
  { node: 'control-plane', address: '172.20.0.2', isControlPlane: true },
  { node: 'control-plane-2', address: '172.20.0.3', isControlPlane: true },
  { node: 'worker-1', address: '172.20.0.4', isControlPlane: false },
];

describe('machines of several control planes', () => {
  it('are all control planes, then workers up to the number of nodes, then the balancer', () => {
    expect(planMachines(specOf(3, 4))).toEqual([
      { name: 'c1-control-plane', node: 'control-plane', isControlPlane: true },
      { name: 'c1-control-plane-2', node: 'control-plane-2', isControlPlane: true },
      { name: 'c1-control-plane-3', node: 'control-plane-3', isControlPlane: true },
      { name: 'c1-worker-1', node: 'worker-1', isControlPlane: false },
      { name: 'c1-balancer', node: 'balancer', isControlPlane: false, isBalancer: true },
    ]);
    expect(planMachines(specOf(1)).map(({ node }) => node)).toEqual(['control-plane', 'balancer']);
    expect(findNode({ spec: specOf(1), machines: planMachines(specOf(1)) }, undefined).node).toBe('control-plane');
  });

  it('are refused in another number, with addresses that overlap theirs, and without Kubernetes', () => {
    for (const wrong of [0, 10, 1.5, '3'])
      expect(() => readSettings(specOf(wrong), [])).toThrow(/controlPlanes: a whole/);
    const options = (more: object): ClusterSpec => ({ ...specOf(3), options: { controlPlanes: 3, ...more } });
    expect(() => readSettings(options({ podSubnet: '10.99.0.128/25' }), [])).toThrow(/podSubnet: holds/);
    expect(() => readSettings(options({ noKubernetes: true }), [])).toThrow(/none with noKubernetes/);
  });

  it('have one address for each name, whatever the number', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 200 }), (one, other) => {
        expect(controlPlaneNumber(controlPlaneName(one))).toBe(one);
        const same = controlPlaneAddress(controlPlaneName(one)) === controlPlaneAddress(controlPlaneName(other));
        expect(same).toBe(one === other);
      }),
    );
    for (const no of ['control-plane-1', 'control-plane-0', 'control-plane-x', 'worker-2', 'balancer'])
      expect(controlPlaneNumber(no)).toBeUndefined();
  });
});

describe('control planes that come and go', () => {
  const machines = planMachines(specOf(3));

  it('get the next numbers, also after one was removed', () => {
    const without = machines.filter(({ node }) => node !== 'control-plane-2');
    expect(planControlPlanes({ spec: specOf(3), machines: without }, 1)).toEqual([
      { name: 'c1-control-plane-4', node: 'control-plane-4', isControlPlane: true },
    ]);
  });

  it('are refused where there is one for ever, where there is no Kubernetes, and when they are too many', () => {
    const plan = (spec: ClusterSpec, count: number) => () =>
      planControlPlanes({ spec, machines: planMachines(spec) }, count);
    expect(plan(specOf(undefined), 1)).toThrow(expect.objectContaining({ code: 'K8S_ONE_CONTROL_PLANE' }));
    expect(plan({ ...specOf(1), options: { noKubernetes: true } }, 1)).toThrow(
      expect.objectContaining({ code: 'K8S_ABSENT' }),
    );
    expect(plan(specOf(8), 2)).toThrow(expect.objectContaining({ code: 'CLI_USAGE' }));
  });

  it('may not be the last', () => {
    expect(() => {
      checkControlPlaneGoes({ spec: specOf(3), machines }, 'control-plane');
    }).not.toThrow();
    expect(() => {
      checkControlPlaneGoes({ spec: specOf(1), machines: planMachines(specOf(1)) }, 'control-plane');
    }).toThrow(expect.objectContaining({ code: 'CLI_USAGE' }));
  });

  it('leave etcd by their address, also when they never started', () => {
    const list = {
      header: { member_id: '1' },
      members: [
        { ID: '11', name: 'control-plane', peerURLs: ['https://10.99.0.11:2380'] },
        { ID: '18446744073709551615', peerURLs: ['https://10.99.0.12:2380'], isLearner: true },
      ],
    };
    expect(memberIdOf(JSON.stringify(list), 'control-plane-2')).toBe('18446744073709551615');
    expect(memberIdOf(JSON.stringify(list), 'control-plane-3')).toBeUndefined();
    for (const bad of ['', 'curl: (7)', '{}', '{"members":[{"ID":1}]}'])
      expect(() => memberIdOf(bad, 'control-plane')).toThrow(expect.objectContaining({ code: 'K8S_API_ERROR' }));
  });

  it('never have a member taken for that of another, whatever else etcd says', () => {
    const member = fc.record({ ID: fc.string(), number: fc.integer({ min: 1, max: 9 }), more: fc.jsonValue() });
    fc.assert(
      fc.property(fc.uniqueArray(member, { selector: ({ number }) => number }), (members) => {
        const text = JSON.stringify({
          members: members.map(({ ID, number, more }) => ({
            ID,
            more,
            peerURLs: [`https://${controlPlaneAddress(controlPlaneName(number))}:2380`],
          })),
        });
        for (const number of [1, 2, 9])
          expect(memberIdOf(text, controlPlaneName(number))).toBe(members.find((one) => one.number === number)?.ID);
      }),
    );
  });
});

describe('keys of a control plane', () => {
  it('are taken whole or not at all, and leave no file', async () => {
    await using folder = await createTemporaryFolder();
    const file = join(folder.path, 'packed');
    const names = ['ca.crt', 'ca.key', 'sa.key', 'sa.pub', 'front-proxy-ca.crt', 'front-proxy-ca.key'];
    await mkdir(join(folder.path, 'etcd'));
    for (const name of [...names, 'etcd/ca.crt', 'etcd/ca.key']) await writeFile(join(folder.path, name), name);
    const pack = async () => await exec(['sh', '-e'], { input: renderPackKeys(folder.path, file), allowFailure: true });
    const packed = await pack();
    const list = await exec(['tar', '-tf', '-'], { input: Buffer.from(packed.stdout, 'base64') });
    expect(list.stdout.trim().split('\n')).toHaveLength(8);
    await rm(join(folder.path, 'etcd', 'ca.key'));
    const failed = await pack();
    expect([failed.exitCode === 0, failed.stdout]).toEqual([false, '']);
    expect(await readdir(folder.path)).not.toContain('packed');
  });
});

describe('kubeadm for several control planes', () => {
  const input = { settings, facts, token: 'a.b', timeoutSeconds: 60 };
  const documents = (text: string): unknown[] => parseAllDocuments(text).map((document) => document.toJS() as unknown);

  it('gives the first one an address of its own, the cluster the common one, and elects leaders', () => {
    const [init, cluster] = documents(renderInit({ ...input, clusterName: 'c1', node: 'control-plane' }));
    expect(init).toMatchObject({ localAPIEndpoint: { advertiseAddress: '10.99.0.11' } });
    expect(cluster).toMatchObject({ controlPlaneEndpoint: '10.99.0.1:6443' });
    expect(JSON.stringify(cluster)).not.toContain('leader-elect');
    expect(JSON.stringify(cluster)).toContain('election-timeout');
  });

  it('joins the others as control planes, and workers as workers', () => {
    const join = (node: string, more: object) =>
      documents(renderJoin({ ...input, node, caHash: 'sha256:0', ...more }))[0];
    expect(join('control-plane-2', { advertiseAddress: '10.99.0.12' })).toMatchObject({
      controlPlane: { localAPIEndpoint: { advertiseAddress: '10.99.0.12', bindPort: 6443 } },
      discovery: { bootstrapToken: { apiServerEndpoint: '10.99.0.1:6443' } },
    });
    expect(join('worker-1', {})).not.toHaveProperty('controlPlane');
  });
});

describe('the way to an API server', () => {
  const joining = peers.map((peer) => (peer.node === 'control-plane-2' ? { ...peer, isJoining: true } : peer));

  it('is the own one for a control plane, which speaks to the others with its own address', () => {
    const script = renderNetworkScript(settings, 'control-plane-2', peers);
    expect(script).toContain('ip address replace 10.99.0.12/32 dev lo');
    expect(script).toContain('ip address replace 10.99.0.1/32 dev lo');
    expect(script).toContain('ip route replace 10.99.0.11/32 via 172.20.0.2 src 10.99.0.12');
  });

  it('is that of another for one that joins', () => {
    const lines = renderApiAddresses('control-plane-2', joining);
    expect(lines).toContain('ip address replace 10.99.0.12/32 dev lo');
    expect(lines).not.toContain('ip address replace 10.99.0.1/32 dev lo');
    expect(lines.at(-1)).toContain('ip route replace 10.99.0.1/32 via 172.20.0.2');
  });

  it('is a route for all others, to one that serves, in another order for each', () => {
    expect(renderApiAddresses('worker-1', joining).join('\n')).toContain("printf '172.20.0.2\\n'");
    expect(renderApiAddresses('worker-1', peers).join('\n')).toContain("printf '172.20.0.3\\n172.20.0.2\\n'");
    expect(renderApiAddresses('worker-2', peers).join('\n')).toContain("printf '172.20.0.2\\n172.20.0.3\\n'");
    const balancer = renderBalancerScript('balancer', peers);
    expect(balancer).toContain('--dport 6443 -m addrtype --dst-type LOCAL -j DNAT --to-destination 10.99.0.1:6443');
    expect(balancer).not.toContain('dev lo');
  });

  it('is kept by a program that leaves an API server after two looks, and only for one that is ready', async () => {
    await using folder = await createTemporaryFolder();
    const at = (name: string): string => join(folder.path, name);
    const tool = async (name: string, text: string): Promise<void> => {
      await writeFile(at(name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    };
    const [program] = apiRouteFiles();
    await writeFile(at('list'), 'one\ntwo\nthree\n');
    // What each look finds, in order: `one` is ready, then twice not; `two` is not, `three` is.
    await tool(
      'curl',
      `for w; do :; done; echo "$w" >>${at('asked')}; n=$(wc -l <${at('asked')}); [ "$n" = 1 ] || [ "$n" = 5 ]`,
    );
    await tool('ip', `echo "$*" >>${at('routes')}`);
    await tool('sleep', `[ "$(wc -l <${at('asked')})" -lt 5 ] || kill $PPID`);
    await writeFile(at('program'), program?.content ?? '', { mode: 0o755 });
    const { stdout } = await exec([at('program'), at('list')], {
      allowFailure: true,
      timeoutMs: 20_000,
      env: { PATH: `${folder.path}:${process.env['PATH'] ?? ''}` },
    });
    expect(stdout).toBe('the API server is reached by one\nthe API server is reached by three\n');
    const { stdout: asked } = await exec(['cat', at('asked')]);
    expect(asked.match(/https:\/\/\w+/g)).toEqual(
      ['one', 'one', 'one', 'two', 'three'].map((name) => `https://${name}`),
    );
    const { stdout: routes } = await exec(['cat', at('routes')]);
    expect(routes).toBe('route replace 10.99.0.1/32 via one\nroute replace 10.99.0.1/32 via three\n');
  });
});
