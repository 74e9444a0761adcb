import { describe, expect, it } from 'vitest';

import { matchesPath, ownerOf, parseCodeOwners, pathOfPackage } from './owners.js';

describe('parseCodeOwners', () => {
  it('reads patterns with their owners, without comments and sections', () => {
    const text = '# all\n* @all\n\n[Docs]\n/docs/ @writers docs@x.org # why\nname\\ with\\ spaces @x\n/vendor/\n';
    expect(parseCodeOwners(text)).toEqual([
      { pattern: '*', owners: ['@all'] },
      { pattern: '/docs/', owners: ['@writers', 'docs@x.org'] },
      { pattern: 'name with spaces', owners: ['@x'] },
      { pattern: '/vendor/', owners: [] },
    ]);
  });
});

describe('matchesPath', () => {
  it.each([
    ['*', 'test/e2e', true],
    ['/test/', 'test/e2e', true],
    ['/test/', 'other/test/e2e', false],
    ['e2e/', 'test/e2e/dns', true],
    ['test/e2e', 'test/e2e/dns', true],
    ['test/e2e', 'test/e2elong', false],
    ['docs/*', 'docs/a', true],
    ['docs/*', 'docs/a/b', false],
    ['**/e2e', 'a/b/e2e/c', true],
    ['/a/**', 'a/b/c', true],
    ['*.go', 'a/b.go', true],
    ['*.go', 'a/bXgo', false],
  ])('%s against %s is %s', (pattern, path, expected) => {
    expect(matchesPath(pattern, path)).toBe(expected);
  });
});

describe('ownerOf', () => {
  const test = { repository: 'o/r', package: 'github.com/o/r/test/e2e', test: 'TestDns/tcp' };

  it('takes the rule of the quarantine file, else the last line of CODEOWNERS', () => {
    const codeOwners = parseCodeOwners('* @all\n/test/ @qa @net\n/test/unit/ @unit');
    expect(ownerOf(test, { codeOwners })).toBe('@qa @net');
    expect(ownerOf(test, { codeOwners, owners: [{ test: 'TestDns*', owner: '@dns' }] })).toBe('@dns');
    expect(ownerOf(test, { codeOwners, owners: [{ package: '*/unit', owner: '@dns' }] })).toBe('@qa @net');
  });

  it('names nobody where nobody is named or ownership was taken away', () => {
    expect(ownerOf(test, {})).toBeUndefined();
    expect(ownerOf(test, { codeOwners: parseCodeOwners('* @all\n/test/') })).toBeUndefined();
  });
});

describe('pathOfPackage', () => {
  it('cuts host, repository and major version from an import path', () => {
    expect(pathOfPackage({ repository: 'o/r', package: 'github.com/o/r/v2/test/e2e' })).toBe('test/e2e');
    expect(pathOfPackage({ repository: 'o/r', package: './test/a.spec.ts' })).toBe('test/a.spec.ts');
    expect(pathOfPackage({ repository: '', package: 'p' })).toBe('p');
  });
});
