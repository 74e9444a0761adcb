import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { PROGRAMS, type ProgramDefinition } from './catalogue.js';
import { findSum, parseSums, PUBLIC_RELEASE_SERVERS, releaseFileOf } from './release-layout.js';

const SUM = 'a'.repeat(64);
const OTHER = 'b'.repeat(64);

function program(name: string): ProgramDefinition {
  return PROGRAMS.find((candidate) => candidate.name === name)!;
}

describe('releaseFileOf', () => {
  it('finds Kubernetes programs on dl.k8s.io with the sum beside them', () => {
    const file = releaseFileOf(program('kubectl'), 'v1.36.3', { os: 'linux', arch: 'arm64' }, PUBLIC_RELEASE_SERVERS);
    expect(file).toEqual({
      url: 'https://dl.k8s.io/release/v1.36.3/bin/linux/arm64/kubectl',
      sumUrl: 'https://dl.k8s.io/release/v1.36.3/bin/linux/arm64/kubectl.sha256',
      sumFormat: 'bare',
      fileName: 'kubectl',
    });
  });

  it('finds etcd inside the archive of its GitHub release', () => {
    const file = releaseFileOf(program('etcd'), 'v3.6.8', { os: 'linux', arch: 'amd64' }, PUBLIC_RELEASE_SERVERS);
    expect(file?.url).toBe('https://github.com/etcd-io/etcd/releases/download/v3.6.8/etcd-v3.6.8-linux-amd64.tar.gz');
    expect(file?.sumUrl).toBe('https://github.com/etcd-io/etcd/releases/download/v3.6.8/SHA256SUMS');
    expect(file?.member).toBe('etcd-v3.6.8-linux-amd64/etcd');
  });

  it('takes the sum of kwok from the digests that GitHub publishes for release assets', () => {
    const file = releaseFileOf(program('kwok'), 'v0.8.0', { os: 'linux', arch: 'amd64' }, PUBLIC_RELEASE_SERVERS);
    expect(file?.url).toBe('https://github.com/kubernetes-sigs/kwok/releases/download/v0.8.0/kwok-linux-amd64');
    expect(file?.sumUrl).toBe('https://api.github.com/repos/kubernetes-sigs/kwok/releases/tags/v0.8.0');
    expect(file?.fileName).toBe('kwok-linux-amd64');
  });
});

describe('findSum', () => {
  it.each([
    ['bare', SUM, SUM],
    ['bare', `${SUM.toUpperCase()}  kubectl\n`, SUM],
    ['bare', `<html>${SUM}`, undefined],
    ['bare', `${SUM}0`, undefined],
    ['sums-file', `${OTHER}  y.tar.gz\n${SUM}  x.tar.gz\n`, SUM],
    ['sums-file', `${SUM} *./x.tar.gz\r\n`, SUM],
    ['sums-file', `${SUM}  x.tar.gz.asc\n`, undefined],
    ['github-digests', JSON.stringify({ assets: [{ name: 'x.tar.gz', digest: `sha256:${SUM}` }] }), SUM],
    ['github-digests', JSON.stringify({ assets: [{ name: 'x.tar.gz', digest: null }] }), undefined],
    ['github-digests', JSON.stringify({ assets: [{ name: 'x.tar.gz', digest: `sha512:${SUM}` }] }), undefined],
    ['github-digests', '{"message":"API rate limit exceeded"}', undefined],
    ['github-digests', '<html>', undefined],
  ] as const)('reads %s %j', (format, text, expected) => {
    expect(findSum(text, format, 'x.tar.gz')).toBe(expected);
  });

  it('gives nothing but sums, whatever it is given', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.constantFrom('bare', 'sums-file', 'github-digests'),
        fc.string(),
        (text, format, name) => {
          expect(findSum(text, format, name) ?? SUM).toMatch(/^[0-9a-f]{64}$/);
        },
      ),
    );
  });
});

describe('parseSums', () => {
  it('reads back what sha256sum writes, the first line of a name counting', () => {
    const name = fc.stringMatching(/^[\w-][\w. -]{0,19}$/);
    const sum = fc.stringMatching(/^[0-9a-f]{64}$/);
    fc.assert(
      fc.property(fc.array(fc.tuple(name, sum)), (entries) => {
        const text = entries.map(([file, value]) => `${value}  ${file}\n`).join('');
        const expected = new Map(entries.toReversed());
        expect(parseSums(text)).toEqual(expected);
      }),
    );
  });
});
