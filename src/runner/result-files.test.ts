import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { ALL_FORMATS } from '../results/index.js';
import { readResultFiles, type ResultFileOptions } from './result-files.js';

let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-results-');
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

async function put(path: string, content: string): Promise<void> {
  const full = join(folder.path, path);
  await mkdir(dirname(full), { recursive: true });
  await writeFile(full, content);
}

const junit = (...names: string[]): string =>
  `<testsuites><testsuite name="s">${names.map((name) => `<testcase classname="c" name="${name}"/>`).join('')}</testsuite></testsuites>`;
const goJson = (name: string): string =>
  ['run', 'pass'].map((Action) => `${JSON.stringify({ Action, Package: 'p', Test: name })}\n`).join('');

/** Files that were read, and names of the tests in them. */
async function read(options: Partial<ResultFileOptions> = {}): Promise<{ files: string[]; tests: string[] }> {
  const tests: string[] = [];
  const files = await readResultFiles({
    folder: folder.path,
    format: 'auto',
    formats: ALL_FORMATS,
    emit: (event) => {
      if (event.type === 'test-ended') tests.push(event.test.name);
    },
    timedOut: false,
    baseFolder: folder.path,
    ...options,
  });
  return { files: files.map(({ path, format }) => `${path} ${format}`), tests };
}

describe('readResultFiles', () => {
  beforeEach(async () => {
    await put('junit.xml', junit('A'));
    await put('deep/er/junit-2.xml', junit('B', 'C'));
    await put('go.log', goJson('TestGo'));
    await put('package.json', '{"name":"no results"}');
    await put('screenshot.png', 'PNG');
  });

  it('finds files of known content by their ending when no glob is given', async () => {
    expect(await read()).toEqual({
      files: ['deep/er/junit-2.xml junit', 'junit.xml junit'],
      tests: ['B', 'C', 'A'],
    });
  });

  it.each([
    ['*.xml', ['junit.xml junit']],
    ['./*.xml', ['junit.xml junit']],
    ['**/*.xml', ['deep/er/junit-2.xml junit', 'junit.xml junit']],
    ['deep/**', ['deep/er/junit-2.xml junit']],
    ['**/junit-?.xml', ['deep/er/junit-2.xml junit']],
    ['**/junit-[0-9].xml', ['deep/er/junit-2.xml junit']],
    ['{junit,other}.{xml,json}', ['junit.xml junit']],
    ['junit.xml', ['junit.xml junit']],
    ['*.log', ['go.log go-json']],
    ['deep/*.xml', []],
    ['unit.xml', []],
    ['*.png', []],
  ])('takes %s', async (pattern, files) => {
    expect((await read({ patterns: [pattern] })).files).toEqual(files);
  });

  it('reads a file once that several globs mean', async () => {
    expect((await read({ patterns: ['**/*.xml', 'junit.xml', 'deep/**'] })).tests).toEqual(['B', 'C', 'A']);
  });

  it('believes the format of the suite over the content, and only then reads what it would not recognise', async () => {
    await put('odd.txt', `some words first\n${goJson('TestOdd')}`);
    expect((await read({ patterns: ['odd.txt'], format: 'go-json' })).tests).toEqual(['TestOdd']);
  });

  it('follows a link to a file, and passes over one to nothing', async () => {
    await symlink(join(folder.path, 'junit.xml'), join(folder.path, 'link.xml'));
    await symlink(join(folder.path, 'nowhere'), join(folder.path, 'broken.xml'));
    expect((await read({ patterns: ['link.xml', 'broken.xml'] })).files).toEqual(['link.xml junit']);
  });
});
