import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { goProgramName, isGoAtLeast, parseGoMod, renderBuildModule } from './go-mod.js';

// Shortened from k8s.io/kubernetes v1.36.3, go.mod of the published module.
const KUBERNETES = `// This is a generated file. Do not edit directly.

module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
	github.com/blang/semver/v4 v4.0.0
	k8s.io/api v0.0.0
	k8s.io/klog/v2 v2.140.0
)

require github.com/beorn7/perks v1.0.1 // indirect

exclude github.com/foo/bar v1.2.3

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/streaming => ./staging/src/k8s.io/streaming
)
`;

// Shortened from go.etcd.io/etcd/server/v3 v3.6.8.
const ETCD = `module go.etcd.io/etcd/server/v3

go 1.24.0

toolchain go1.24.13

require (
	go.etcd.io/etcd/api/v3 v3.6.8
	google.golang.org/grpc v1.71.1
)

replace (
	go.etcd.io/etcd/api/v3 => ../api
)

// Bad imports are sometimes causing attempts to pull that code.
replace go.etcd.io/etcd => ./FORBIDDEN_DEPENDENCY
`;

describe('parseGoMod', () => {
  it('reads blocks, single lines, comments and directives that only count in the main module', () => {
    const mod = parseGoMod(KUBERNETES);
    expect(mod.module).toBe('k8s.io/kubernetes');
    expect(mod.go).toBe('1.26.0');
    expect(mod.godebug).toEqual(['default=go1.26']);
    expect(mod.require).toContainEqual({ path: 'github.com/beorn7/perks', version: 'v1.0.1' });
    expect(mod.require).toHaveLength(4);
    expect(mod.exclude).toEqual(['github.com/foo/bar v1.2.3']);
    expect(mod.replace).toContainEqual({ path: 'k8s.io/api', target: './staging/src/k8s.io/api' });
  });

  it('reads replacements with versions on either side, and quoted words', () => {
    const mod = parseGoMod('replace a.example/x v1.0.0 => b.example/y v2.0.0\nreplace "c.example/z" => `../z`\r\n');
    expect(mod.replace).toEqual([
      { path: 'a.example/x', version: 'v1.0.0', target: 'b.example/y', targetVersion: 'v2.0.0' },
      { path: 'c.example/z', target: '../z' },
    ]);
  });

  it('does not throw, whatever it is given', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(fc.constantFrom('replace', '=>', '(', ')', 'a', '\n', '"', 'v1')).map((words) => words.join(' ')),
        ),
        (text) => {
          const mod = parseGoMod(text);
          expect(mod.replace.every(({ path, target }) => path !== '' && target !== '')).toBe(true);
        },
      ),
    );
  });
});

describe('renderBuildModule', () => {
  it("puts Kubernetes' staging modules at the published version that belongs to the release", () => {
    const text = renderBuildModule({
      upstream: parseGoMod(KUBERNETES),
      version: 'v1.36.3',
      treeModuleVersion: 'v0.36.3',
    });
    const mod = parseGoMod(text);
    expect(mod.replace).toEqual([{ path: 'k8s.io/api', target: 'k8s.io/api', targetVersion: 'v0.36.3' }]);
    expect(mod.require).toContainEqual({ path: 'k8s.io/kubernetes', version: 'v1.36.3' });
    expect(mod.require).toContainEqual({ path: 'k8s.io/klog/v2', version: 'v2.140.0' });
    expect(mod.godebug).toEqual(['default=go1.26']);
    expect(mod.exclude).toEqual(['github.com/foo/bar v1.2.3']);
    expect(mod.go).toBe('1.26.0');
  });

  it('drops replacements by folders where upstream requires a published version', () => {
    const mod = parseGoMod(renderBuildModule({ upstream: parseGoMod(ETCD), version: 'v3.6.8' }));
    expect(mod.replace).toEqual([]);
    expect(mod.require).toContainEqual({ path: 'go.etcd.io/etcd/api/v3', version: 'v3.6.8' });
  });

  it('keeps every requirement, replacement by a module and exclusion of the module it builds', () => {
    const path = fc.stringMatching(/^[a-z]{1,8}\.example(\/[a-z0-9.~-]{1,8}){1,3}$/);
    const version = fc.stringMatching(/^v[0-9]\.[0-9]{1,2}\.[0-9]{1,2}(-rc\.[0-9])?(\+incompatible)?$/);
    const requirement = fc.record({ path, version });
    const replacement = fc.record({ path, target: path, targetVersion: version });
    fc.assert(
      fc.property(fc.array(requirement), fc.array(replacement), fc.array(requirement), (require, replace, excluded) => {
        const exclude = excluded.map((entry) => `${entry.path} ${entry.version}`);
        const upstream = { module: 'up.example/m', go: '1.26', godebug: [], require, replace, exclude };
        const mod = parseGoMod(renderBuildModule({ upstream, version: 'v1.0.0' }));
        expect(mod).toEqual({
          ...upstream,
          module: 'mk-ci.invalid/bundle',
          require: [{ path: 'up.example/m', version: 'v1.0.0' }, ...require],
        });
      }),
    );
  });
});

describe('goProgramName', () => {
  it.each([
    ['k8s.io/kubernetes/cmd/kubectl', 'kubectl'],
    ['go.etcd.io/etcd/server/v3', 'server'],
    ['v2', 'v2'],
  ])('names the program of %s %s', (path, name) => {
    expect(goProgramName(path)).toBe(name);
  });
});

describe('isGoAtLeast', () => {
  it.each([
    ['1.26.8', '1.26.0', true],
    ['go1.26.8', '1.26', true],
    ['1.25.10', '1.26.0', false],
    ['1.26', '1.26.1', false],
    ['2.0', '1.99.9', true],
    ['1.27rc1 X:jsonv2', '1.27', true],
    ['1.26.0', '', true],
  ])('says of %s whether it is at least %s: %s', (have, need, expected) => {
    expect(isGoAtLeast(have, need)).toBe(expected);
  });
});
