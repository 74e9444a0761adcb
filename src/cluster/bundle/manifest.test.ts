import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { isMkCiError, type MkCiError } from '../../errors.js';
import {
  digestOf,
  formatManifest,
  holdsParts,
  parseManifest,
  type BundleManifest,
  type ManifestFile,
} from './manifest.js';

function file(name: string, overrides: Partial<ManifestFile> = {}): ManifestFile {
  return {
    name,
    path: `bin/${name}`,
    part: 'control-plane',
    component: 'kubernetes',
    version: 'v1.36.3',
    sha256: 'a'.repeat(64),
    sizeBytes: 12,
    mode: '0755',
    modifiedAt: '2026-11-21T10:00:00.000Z',
    source: { kind: 'go', location: 'k8s.io/kubernetes@v1.36.3' },
    licence: 'Apache-2.0',
    ...overrides,
  };
}

function manifest(files: ManifestFile[]): BundleManifest {
  return {
    format: 'mk-ci-bundle/1',
    kubernetesVersion: 'v1.36.3',
    platform: { os: 'linux', arch: 'amd64' },
    parts: ['control-plane'],
    digest: digestOf(files),
    createdAt: '2026-11-21T10:00:00.000Z',
    madeBy: 'mk-ci 0.1.0',
    files,
  };
}

function problemsOf(text: string): string {
  try {
    parseManifest(text, 'manifest.json');
  } catch (error) {
    if (!isMkCiError(error, 'BND_CHECKSUM')) throw error;
    return JSON.stringify((error satisfies MkCiError).details['problems'] ?? error.message);
  }
  return '';
}

describe('parseManifest', () => {
  it('reads back what formatManifest wrote', () => {
    const written = manifest([file('etcd'), file('kubectl')]);
    expect(parseManifest(formatManifest(written), 'x')).toEqual(written);
  });

  it.each(['/etc/passwd', '../x', 'bin/../../x', 'bin/..', './x', 'bin//x', 'bin/', 'C:\\x', ''])(
    'refuses the path %j, which could lead out of the bundle',
    (path) => {
      expect(problemsOf(formatManifest(manifest([file('x', { path })])))).toContain('files.0.path');
    },
  );

  it('refuses two files of one name, and a digest of other files', () => {
    expect(problemsOf(formatManifest(manifest([file('x'), file('x', { path: 'bin/y' })])))).toContain('name x twice');
    expect(problemsOf(formatManifest({ ...manifest([file('x')]), digest: 'b'.repeat(64) }))).toContain('digest');
  });

  it('refuses unknown keys, other formats and text that is no JSON', () => {
    expect(problemsOf(JSON.stringify({ ...manifest([file('x')]), extra: 1 }))).toContain('extra');
    expect(problemsOf(JSON.stringify({ ...manifest([file('x')]), format: 'mk-ci-bundle/2' }))).toContain('format');
    expect(problemsOf('<html>')).not.toBe('');
    expect(problemsOf(`"${'x'.repeat(2_000_000)}"`)).toContain('longer than');
  });

  it('throws only its own error, whatever it is given', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(problemsOf(text)).not.toBe('');
      }),
    );
  });
});

describe('digestOf', () => {
  it('does not depend on order, time or source, but on content and mode', () => {
    const files = [file('a'), file('b'), file('c', { sha256: 'c'.repeat(64) })];
    const digest = digestOf(files);
    fc.assert(
      fc.property(fc.shuffledSubarray(files, { minLength: 3 }), (shuffled) => {
        expect(digestOf(shuffled)).toBe(digest);
      }),
    );
    expect(digestOf([file('a', { modifiedAt: '2020-01-01T00:00:00Z' }), ...files.slice(1)])).toBe(digest);
    expect(digestOf([file('a', { mode: '0644' }), ...files.slice(1)])).not.toBe(digest);
    expect(digestOf([file('a', { sha256: 'd'.repeat(64) }), ...files.slice(1)])).not.toBe(digest);
  });
});

describe('holdsParts', () => {
  it('asks for all of the parts', () => {
    expect(holdsParts({ parts: ['control-plane', 'fake-nodes'] }, ['control-plane'])).toBe(true);
    expect(holdsParts({ parts: ['control-plane'] }, ['control-plane', 'fake-nodes'])).toBe(false);
    expect(holdsParts({ parts: [] }, [])).toBe(true);
  });
});
