import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { MkCiError } from '../errors.js';
import { createTemporaryFolder } from '../files.js';
import { loadConfig, parseConfig } from './load.js';

const MINIMAL = `version: 1
suites:
  - name: e2e
    command: go test -json ./...
`;

function problemsOf(text: string): readonly string[] {
  try {
    parseConfig(text, '/project/mk-ci.yaml', 'mk-ci.yaml');
  } catch (error) {
    if (error instanceof MkCiError && error.code === 'CFG_INVALID') return error.details['problems'] as string[];
    throw error;
  }
  throw new Error('the configuration was accepted');
}

describe('parseConfig', () => {
  it('fills in every default', () => {
    const config = parseConfig(MINIMAL, '/project/mk-ci.yaml');
    expect(config.environments).toEqual([
      { name: 'local-v1.36', driver: 'local', kubernetesVersion: 'v1.36.3', nodes: 1, options: {} },
    ]);
    expect(config.suites[0]).toMatchObject({
      format: 'auto',
      timeoutMinutes: 30,
      retries: 0,
      shards: 1,
      environments: ['*'],
      cluster: 'shared',
      exclusive: [],
      env: {},
      workingDirectory: '.',
    });
    expect(config.flake.database).toBe('.mk-ci/flake.db');
    expect(config.github).toEqual({ comment: true, issues: { openAt: 0.05 } });
    expect(config.folder).toBe('/project');
  });

  it('reports all problems at once, in the order of the file, with line, column, path and hint', () => {
    const problems = problemsOf(`version: 1
kubernets: v1.36.3
environments:
  - driver: [lokal]
    nods: 2
suites:
  - name: e2e
    comand: go test
    format: go-jsn
    retries: -1
  - name: "b ad"
    command: []
`);
    expect(problems).toEqual([
      'mk-ci.yaml:2:1: kubernets: unknown key; did you mean kubernetes?',
      expect.stringMatching(
        /^mk-ci.yaml:4:14: environments\[0\].driver\[0\]: must be one of .*; did you mean local\?$/,
      ),
      'mk-ci.yaml:5:5: environments[0].nods: unknown key; did you mean nodes?',
      'mk-ci.yaml:7:5: suites[0].command: is missing',
      'mk-ci.yaml:8:5: suites[0].comand: unknown key; did you mean command?',
      expect.stringMatching(/^mk-ci.yaml:9:5: suites\[0\].format: must be one of .*; did you mean go-json\?$/),
      'mk-ci.yaml:10:5: suites[0].retries: must be at least 0',
      expect.stringMatching(/^mk-ci.yaml:11:5: suites\[1\].name: letters, digits/),
      'mk-ci.yaml:12:5: suites[1].command: must have at least 1 entries',
    ]);
  });

  it('names the place of broken YAML', () => {
    expect(problemsOf('version: 1\nsuites: [')).toEqual([expect.stringMatching(/^mk-ci.yaml:2:\d+: Flow sequence/)]);
    expect(problemsOf('version: 1\nversion: 1\n')[0]).toMatch(/^mk-ci.yaml:2:1: Map keys must be unique/);
  });

  it('refuses an empty file, a list, and another version', () => {
    expect(problemsOf('')).toEqual(['mk-ci.yaml:1:1: must be a map']);
    expect(problemsOf('- a')).toEqual(['mk-ci.yaml:1:1: must be a map']);
    expect(problemsOf(MINIMAL.replace('version: 1', 'version: 2'))).toEqual(['mk-ci.yaml:1:1: version: must be 1']);
  });

  it('refuses two suites of one name and a glob that matches no environment', () => {
    const text = `${MINIMAL}    environments: [locl]\n  - { name: e2e, command: y }\n`;
    expect(problemsOf(text)).toEqual([
      "mk-ci.yaml:5:20: suites[0].environments[0]: 'locl' matches no environment; did you mean local? (there are local-v1.36)",
      'mk-ci.yaml:6:7: suites[1].name: the same name as suites[0]',
    ]);
  });

  it('says of an entry that excludes all its environments only that', () => {
    expect(problemsOf(`${MINIMAL}environments: [{ driver: local, exclude: [{ driver: local }] }]\n`)).toEqual([
      'mk-ci.yaml:5:33: environments[0].exclude: leaves no environment of this entry',
    ]);
  });

  it('refuses aliases that multiply without end', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefghi'.split('').map((key, index) => {
        const previous = 'abcdefgh'.charAt(index);
        return `${key}: &${key} [${Array.from({ length: 9 }, () => `*${previous}`).join(',')}]`;
      }),
    ].join('\n');
    expect(problemsOf(bomb)[0]).toMatch(/alias/i);
  });

  it('gives a configuration or CFG_INVALID for any text', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json().map((json) => json),
        ),
        (text) => {
          try {
            parseConfig(text, '/mk-ci.yaml');
          } catch (error) {
            expect(error).toBeInstanceOf(MkCiError);
            expect((error as MkCiError).code).toBe('CFG_INVALID');
          }
        },
      ),
    );
  });
});

describe('loadConfig', () => {
  it('searches upward from the working directory', async () => {
    await using folder = await createTemporaryFolder();
    await writeFile(join(folder.path, 'mk-ci.yaml'), MINIMAL);
    const deep = join(folder.path, 'a', 'b');
    await mkdir(deep, { recursive: true });
    const config = await loadConfig({ cwd: deep });
    expect(config.file).toBe(join(folder.path, 'mk-ci.yaml'));
  });

  it('says where it searched, and which given file is missing or unreadable', async () => {
    await using folder = await createTemporaryFolder();
    await expect(loadConfig({ cwd: folder.path })).rejects.toMatchObject({ code: 'CFG_NOT_FOUND' });
    await expect(loadConfig({ cwd: folder.path, file: 'other.yaml' })).rejects.toMatchObject({ code: 'CFG_NOT_FOUND' });
    await expect(loadConfig({ cwd: folder.path, file: '.' })).rejects.toMatchObject({ code: 'CFG_UNREADABLE' });
  });
});
