import { describe, expect, it } from 'vitest';

import { MkCiError } from '../../errors.js';
import {
  BUNDLE_PARTS,
  COMPONENTS,
  fillTemplate,
  parseKubernetesVersion,
  pathInBundle,
  platformOf,
  PROGRAMS,
  programsOf,
} from './catalogue.js';

describe('the catalogue', () => {
  it('names every program once', () => {
    expect(new Set(PROGRAMS.map(({ name }) => name)).size).toBe(PROGRAMS.length);
  });

  it('gives the control plane and the fake nodes what they need', () => {
    expect(programsOf(['control-plane']).map(({ name }) => name)).toEqual([
      'kube-apiserver',
      'kube-controller-manager',
      'kube-scheduler',
      'kubectl',
      'etcd',
    ]);
    expect(programsOf(['fake-nodes']).map(({ name }) => name)).toEqual(['kwok']);
    expect(programsOf(BUNDLE_PARTS)).toHaveLength(PROGRAMS.length);
    expect(programsOf([])).toEqual([]);
  });

  it('stamps Kubernetes with its version in both packages that tell it', () => {
    const stamps = COMPONENTS.kubernetes.go?.stamps({ version: 'v1.36.3', commit: '', time: '2026-07-22T18:07:38Z' });
    for (const name of ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']) {
      expect(stamps?.[`${name}.gitVersion`]).toBe('v1.36.3');
      expect(stamps?.[`${name}.gitMajor`]).toBe('1');
      expect(stamps?.[`${name}.gitMinor`]).toBe('36');
      expect(stamps?.[`${name}.gitTreeState`]).toBe('clean');
      expect(stamps?.[`${name}.buildDate`]).toBe('2026-07-22T18:07:38Z');
    }
  });

  it.each([
    ['v1.36.3', 'v0.36.3'],
    ['v1.35.4', 'v0.35.4'],
    ['v1.37.0-rc.1', 'v0.37.0-rc.1'],
  ])('knows that the staging modules of %s are %s', (version, staging) => {
    expect(COMPONENTS.kubernetes.go?.treeModuleVersion?.(version)).toBe(staging);
  });
});

describe('parseKubernetesVersion', () => {
  it('reads full versions', () => {
    expect(parseKubernetesVersion('v1.36.3')).toEqual({ major: 1, minor: 36, patch: 3 });
    expect(parseKubernetesVersion('v1.37.0-rc.1')).toEqual({ major: 1, minor: 37, patch: 0 });
  });

  it.each(['', 'v1.36', '1.36.3', 'latest', 'v2.0.0', 'v1.36.3/../..', 'v1.36.3 ', 'v1.36.3-evil'])(
    'refuses %j',
    (text) => {
      expect(() => parseKubernetesVersion(text)).toThrow(expect.objectContaining({ code: 'BND_UNKNOWN_VERSION' }));
    },
  );

  it('suggests the v that was forgotten', () => {
    try {
      parseKubernetesVersion('1.36.3');
      expect.unreachable();
    } catch (error) {
      expect((error as MkCiError).advice).toBe('Did you mean v1.36.3?');
    }
  });
});

describe('platformOf', () => {
  it('speaks of architectures as Kubernetes does', () => {
    expect(platformOf('linux', 'x64')).toEqual({ os: 'linux', arch: 'amd64' });
    expect(platformOf('darwin', 'arm64')).toEqual({ os: 'darwin', arch: 'arm64' });
  });

  it.each([
    ['win32', 'x64'],
    ['linux', 'ia32'],
  ] as const)('refuses %s on %s', (platform, arch) => {
    expect(() => platformOf(platform, arch)).toThrow(expect.objectContaining({ code: 'HOST_UNSUPPORTED' }));
  });
});

describe('fillTemplate', () => {
  it('fills what it knows and leaves the rest', () => {
    expect(fillTemplate('{a}/{b}-{a}', { a: 'x' })).toBe('x/{b}-x');
  });
});

describe('versions of what goes with Kubernetes', () => {
  // Printed by `kubeadm config images list` of kubeadm v1.36.3, and read in constants.go of v1.35.4.
  it.each([
    ['v1.36.3', { etcd: 'v3.6.8', coredns: 'v1.14.2', pause: 'v3.10.2' }],
    ['v1.35.4', { etcd: 'v3.6.6', coredns: 'v1.13.1', pause: 'v3.10.1' }],
  ] as const)('are those that kubeadm %s asks for', (version, wanted) => {
    for (const component of ['etcd', 'coredns', 'pause'] as const) {
      expect(COMPONENTS[component].versionFor(version)).toBe(wanted[component]);
    }
  });

  it('are known for versions newer and older than those', () => {
    expect(COMPONENTS.etcd.versionFor('v1.40.0')).toBe('v3.6.8');
    expect(COMPONENTS.pause.versionFor('v1.20.0')).toBe('v3.10');
  });

  it('keep network plugins out of the folder that suites have in front of PATH', () => {
    expect(pathInBundle('bridge')).toBe('cni/bridge');
    expect(pathInBundle('kubelet')).toBe('bin/kubelet');
  });
});
