import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';

import { ADDON_NAMES, addonImage, isAddonName, renderAddon } from './catalogue.js';
import { NODE_METRICS_PATH } from './metrics-server.js';

interface Object {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly [key: string]: unknown;
}

function objectsOf(name: (typeof ADDON_NAMES)[number]): Object[] {
  return parseAllDocuments(renderAddon(name)).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS() as Object;
  });
}

describe('names of addons', () => {
  it('are known, and nothing else is one', () => {
    expect(ADDON_NAMES).toEqual(['metrics-server']);
    expect(isAddonName('metrics-server')).toBe(true);
    for (const other of ['', 'metrics', './metrics-server', 'toString', undefined, {}]) {
      expect(isAddonName(other), JSON.stringify(other)).toBe(false);
    }
  });
});

describe('metrics-server', () => {
  const objects = objectsOf('metrics-server');
  const one = (kind: string, name = 'metrics-server'): Object => {
    const found = objects.filter((object) => object.kind === kind && object.metadata.name === name);
    expect(found, `${kind} ${name}`).toHaveLength(1);
    return found[0]!;
  };
  interface Deployment {
    readonly selector: { readonly matchLabels: object };
    readonly template: {
      readonly metadata: { readonly labels: object };
      readonly spec: {
        readonly nodeSelector: object;
        readonly containers: readonly {
          readonly image: string;
          readonly args: readonly string[];
          readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
        }[];
      };
    };
  }
  const { selector, template } = one('Deployment')['spec'] as Deployment;
  const [container] = template.spec.containers;

  it('is reached by the API server: its APIService leads to a Service, and that to the port of its pods', () => {
    const { service, group, version } = one('APIService', 'v1beta1.metrics.k8s.io')['spec'] as {
      readonly service: object;
      readonly group: string;
      readonly version: string;
    };
    expect(NODE_METRICS_PATH).toBe(`/apis/${group}/${version}/nodes`);
    const { name, namespace } = one('Service').metadata;
    expect(service).toEqual({ name, namespace });
    expect(one('Service')['spec']).toMatchObject({
      selector: template.metadata.labels,
      ports: [{ port: 443, targetPort: container?.ports[0]?.name }],
    });
    expect(selector.matchLabels).toEqual(template.metadata.labels);
    expect(container?.args).toContain(`--secure-port=${container?.ports[0]?.containerPort ?? ''}`);
  });

  it('runs from the image of its version on control planes, and takes the certificates of kubelets as they are', () => {
    expect(container?.image).toBe(addonImage('metrics-server'));
    expect(template.spec.nodeSelector).toEqual({ 'node-role.kubernetes.io/control-plane': '' });
    expect(container?.args).toContain('--kubelet-insecure-tls');
  });

  it('asks as often as it lets itself be told to: from 10 s on, with nine tenths of that for an answer', () => {
    const secondsOf = (flag: string): number =>
      Number(container?.args.flatMap((arg) => new RegExp(`^--${flag}=(\\d+)s$`).exec(arg)?.[1] ?? [])[0]);
    expect(secondsOf('metric-resolution')).toBeGreaterThanOrEqual(10);
    expect(secondsOf('metric-resolution')).toBeLessThanOrEqual(15);
    expect(secondsOf('kubelet-request-timeout')).toBeLessThanOrEqual(secondsOf('metric-resolution') * 0.9);
  });

  it('has what it may do bound to its own account, in roles that are there', () => {
    const bindings = objects.filter(({ kind }) => kind.endsWith('Binding'));
    const known = objects.filter(({ kind }) => kind === 'ClusterRole').map(({ metadata }) => metadata.name);
    const { name, namespace } = one('ServiceAccount').metadata;
    for (const { metadata, roleRef, subjects } of bindings as (Object & { roleRef: { name: string } })[]) {
      expect(subjects, metadata.name).toEqual([{ kind: 'ServiceAccount', name, namespace }]);
      // Those that every cluster has.
      const usual = ['system:auth-delegator', 'extension-apiserver-authentication-reader'];
      expect([...known, ...usual]).toContain(roleRef.name);
    }
    expect(bindings).toHaveLength(3);
  });
});
