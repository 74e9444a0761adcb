import { Watch } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { PAUSE, connect, eventually, refusal } from './rig.js';

const { config, core, apps, batch, autoscaling, coordination, authorization, definitions, custom, version } = connect();
let namespace;

beforeAll(async () => {
  const created = await core.createNamespace({ body: { metadata: { generateName: 'quickstart-js-' } } });
  namespace = created.metadata.name;
  await eventually('the default ServiceAccount', () =>
    core.readNamespacedServiceAccount({ namespace, name: 'default' }),
  );
});

afterAll(async () => {
  if (namespace) await core.deleteNamespace({ name: namespace });
});

describe('control plane', () => {
  it('says which version it is', async () => {
    const { gitVersion } = await version.getCode();
    expect(gitVersion).toMatch(/^v1\.\d+\.\d+/);
  });

  it('has the namespaces of every cluster', async () => {
    const { items } = await core.listNamespace();
    const names = items.map((item) => item.metadata.name);
    expect(names).toEqual(expect.arrayContaining(['default', 'kube-system', 'kube-public', 'kube-node-lease']));
  });

  it('has nodes that are Ready', async () => {
    const { items } = await core.listNode();
    expect(items.length).toBeGreaterThan(0);
    for (const node of items) {
      expect(node.status.conditions.find(({ type }) => type === 'Ready')?.status).toBe('True');
    }
  });
});

describe('workloads', () => {
  it('rolls a Deployment out and scales it', async () => {
    const labels = { app: 'web' };
    const body = {
      metadata: { name: 'web' },
      spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: PAUSE } },
    };
    await apps.createNamespacedDeployment({ namespace, body });
    const ready = async (count) => {
      const { status } = await apps.readNamespacedDeployment({ namespace, name: 'web' });
      return status.readyReplicas === count;
    };
    await eventually('two ready replicas', () => ready(2));
    const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'web' });
    await apps.replaceNamespacedDeploymentScale({ namespace, name: 'web', body: { ...scale, spec: { replicas: 4 } } });
    await eventually('four ready replicas', () => ready(4));
  });

  it('runs one pod of a DaemonSet on every node', async () => {
    const labels = { app: 'agent' };
    const body = {
      metadata: { name: 'agent' },
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: PAUSE } },
    };
    await apps.createNamespacedDaemonSet({ namespace, body });
    const nodes = (await core.listNode()).items.length;
    await eventually('a ready pod on every node', async () => {
      const { status } = await apps.readNamespacedDaemonSet({ namespace, name: 'agent' });
      return status.numberReady === nodes;
    });
  });

  it('starts the pods of a Job', async () => {
    const body = { metadata: { name: 'once' }, spec: { template: { spec: { ...PAUSE, restartPolicy: 'Never' } } } };
    await batch.createNamespacedJob({ namespace, body });
    await eventually('a pod of the job', async () => {
      const { items } = await core.listNamespacedPod({ namespace, labelSelector: 'job-name=once' });
      return items.length === 1;
    });
  });
});

describe('access', () => {
  it('is refused to a stranger', async () => {
    const stranger = connect(`system:serviceaccount:${namespace}:default`);
    expect(await refusal(stranger.core.listNamespacedSecret({ namespace }))).toBe(403);
  });

  it('can be asked about', async () => {
    const body = { spec: { resourceAttributes: { namespace, verb: 'delete', resource: 'pods' } } };
    const { status } = await authorization.createSelfSubjectAccessReview({ body });
    expect(status.allowed).toBe(true);
  });

  it('is given to a ServiceAccount by a token', async () => {
    const body = { spec: { audiences: ['https://kubernetes.default.svc'], expirationSeconds: 600 } };
    const { status } = await core.createNamespacedServiceAccountToken({ namespace, name: 'default', body });
    expect(status.token.split('.')).toHaveLength(3);
  });
});

describe('objects', () => {
  it('of a custom resource are validated', async () => {
    const group = `${namespace}.example.com`;
    const schema = {
      type: 'object',
      properties: { spec: { type: 'object', properties: { color: { type: 'string', pattern: '^(red|blue)$' } } } },
    };
    await definitions.createCustomResourceDefinition({
      body: {
        metadata: { name: `paints.${group}` },
        spec: {
          group,
          scope: 'Namespaced',
          names: { plural: 'paints', singular: 'paint', kind: 'Paint' },
          versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
        },
      },
    });
    try {
      const paint = (name, color) => ({
        group,
        version: 'v1',
        namespace,
        plural: 'paints',
        body: { apiVersion: `${group}/v1`, kind: 'Paint', metadata: { name }, spec: { color } },
      });
      await eventually('the new resource is served', () => custom.createNamespacedCustomObject(paint('good', 'red')));
      expect(await refusal(custom.createNamespacedCustomObject(paint('bad', 'plaid')))).toBe(422);
    } finally {
      await definitions.deleteCustomResourceDefinition({ name: `paints.${group}` });
    }
  });

  it('are seen by a watch', async () => {
    const seen = [];
    const watch = new Watch(config);
    const request = await watch.watch(
      `/api/v1/namespaces/${namespace}/configmaps`,
      { fieldSelector: 'metadata.name=watched' },
      (type) => seen.push(type),
      () => undefined,
    );
    await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'watched' } } });
    await core.deleteNamespacedConfigMap({ namespace, name: 'watched' });
    await eventually('both changes', () => seen.length === 2);
    request.abort();
    expect(seen).toEqual(['ADDED', 'DELETED']);
  });

  it('that are stale can not be written', async () => {
    const stale = await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'shared' } } });
    await core.replaceNamespacedConfigMap({ namespace, name: 'shared', body: { ...stale, data: { by: 'first' } } });
    const second = { ...stale, data: { by: 'second' } };
    expect(await refusal(core.replaceNamespacedConfigMap({ namespace, name: 'shared', body: second }))).toBe(409);
  });

  it('go with their owner', async () => {
    const owner = await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'owner' } } });
    const reference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid };
    const body = { metadata: { name: 'owned', ownerReferences: [reference] } };
    await core.createNamespacedSecret({ namespace, body });
    await core.deleteNamespacedConfigMap({ namespace, name: 'owner' });
    await eventually('the owned secret is gone', async () => {
      return (await refusal(core.readNamespacedSecret({ namespace, name: 'owned' }))) === 404;
    });
  });

  it('are bounded by a quota', async () => {
    const body = { metadata: { name: 'few' }, spec: { hard: { 'count/leases.coordination.k8s.io': '1' } } };
    await core.createNamespacedResourceQuota({ namespace, body });
    await eventually('the quota is counted', async () => {
      const { status } = await core.readNamespacedResourceQuota({ namespace, name: 'few' });
      return status?.used;
    });
    await coordination.createNamespacedLease({ namespace, body: { metadata: { name: 'first' } } });
    const second = { metadata: { name: 'second' } };
    await eventually('the second lease is refused', async () => {
      return (await refusal(coordination.createNamespacedLease({ namespace, body: second }))) === 403;
    });
  });

  it('of an autoscaler keep what was asked for', async () => {
    const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
    const body = { metadata: { name: 'web' }, spec: { scaleTargetRef, minReplicas: 2, maxReplicas: 5 } };
    await autoscaling.createNamespacedHorizontalPodAutoscaler({ namespace, body });
    const { spec } = await autoscaling.readNamespacedHorizontalPodAutoscaler({ namespace, name: 'web' });
    expect([spec.minReplicas, spec.maxReplicas]).toEqual([2, 5]);
  });
});
