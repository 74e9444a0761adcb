import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { findInputs } from './find-inputs.js';
import { globBase, globPattern } from './glob.js';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'mk-ci-inputs-'));
  for (const file of [
    'a.json',
    'sub/b.json',
    'sub/c.xml',
    '.hidden/d.json',
    'run/events.jsonl',
    'run/cells/x/stdout.log',
  ]) {
    await mkdir(dirname(join(root, file)), { recursive: true });
    await writeFile(join(root, file), 'x');
  }
  await symlink(root, join(root, 'sub/loop'));
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

async function* nothing(): AsyncGenerator<Uint8Array> {
  yield* [];
}

async function find(...words: string[]) {
  const found = await findInputs(
    words.map((word) => (word === '-' ? word : join(root, word))),
    { stdin: nothing() },
  );
  return found.map((input) => {
    const path = input.path.replace(`${root}/`, '');
    return 'error' in input ? `${path}: ${input.error.code}` : path + (input.isRun ? ' (run)' : '');
  });
}

describe('finding inputs', () => {
  it('takes files and standard input as they are named', async () => {
    expect(await find('a.json', '-', 'run/events.jsonl')).toEqual(['a.json', '-', 'run/events.jsonl']);
  });

  it('takes all files of a folder in order, a run as one, without hidden ones and links to folders', async () => {
    expect(await find('.')).toEqual(['a.json', 'run (run)', 'sub/b.json', 'sub/c.xml']);
    expect(await find('run')).toEqual([`${root}/run (run)`.replace(`${root}/`, '')]);
  });

  it('takes what a glob matches', async () => {
    expect(await find('*.json')).toEqual(['a.json']);
    expect(await find('**/*.{json,xml}')).toEqual(['a.json', 'sub/b.json', 'sub/c.xml']);
    expect(await find('sub/[!c]*')).toEqual(['sub/b.json']);
    expect(await find('r*')).toEqual(['run (run)']);
  });

  it('names what is missing and goes on', async () => {
    expect(await find('none.json', '*.tap', 'a.json')).toEqual([
      'none.json: CLI_NO_INPUT',
      '*.tap: CLI_NO_INPUT',
      'a.json',
    ]);
  });
});

describe('globs', () => {
  it('know where they begin', () => {
    expect(['*.json', 'a/b/*.json', '/*.json', 'a/b?c/d'].map(globBase)).toEqual(['.', 'a/b', '/', 'a']);
  });

  it('mean themselves where they hold no wildcard', () => {
    expect(globPattern('a+b(c).json').test('a+b(c).json')).toBe(true);
    expect(globPattern('[z-a]').test('[z-a]')).toBe(true);
  });
});
