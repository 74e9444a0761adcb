import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { openEventLog } from '../results/event-log.js';
import { runFolderAt } from '../results/run-folder.js';
import { callCommand, createTestContext } from './call.test-kit.js';
import { build } from './merge.js';

let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-merge-');
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

const at = '2026-11-21T10:00:00.000Z';

/** The folder of one shard of three, as its machine left it, with one file that its test wrote. */
async function writeShard(index: number): Promise<string> {
  const root = join(folder.path, 'shards', `run-${index}`);
  const run = runFolderAt(root);
  const cell = `local.e2e.${index}-of-3`;
  const test = { package: 'p', name: `Test${index}` };
  const attempt = { at, cell, attempt: 1 } as const;
  await mkdir(run.cell(cell), { recursive: true });
  await writeFile(join(run.cell(cell), 'written'), String(index));
  const log = openEventLog(run.events);
  log.append({
    type: 'run-started',
    version: 1,
    at,
    runId: `run-${index}`,
    toolVersion: '0.1.0',
    source: { commit: 'c' },
    environments: [{ name: 'local' }],
    cells: [{ id: cell, environment: 'local', suite: 'e2e', shard: { index, total: 3 } }],
  });
  log.append({ type: 'cell-started', at, cell });
  log.append({ type: 'attempt-started', ...attempt, command: ['x'], folder: `cells/${cell}/attempt-1` });
  log.append({ type: 'test-started', test, ...attempt });
  log.append({ type: 'test-ended', test, status: 'passed', ...attempt });
  log.append({ type: 'attempt-ended', ...attempt, durationMs: 1, exitCode: 0 });
  log.append({ type: 'cell-ended', at, cell, status: 'passed', durationMs: 1 });
  log.append({ type: 'run-ended', at, exitCode: 0 });
  log.close();
  return root;
}

async function merge(...args: readonly string[]) {
  return await callCommand(build, args, createTestContext(folder.path));
}

it('gives one complete folder when two merges write it at once, and says a missing shard', async () => {
  const shards = [await writeShard(1), await writeShard(2), await writeShard(3)];
  const merged = await Promise.all([merge(...shards, '--out', 'out'), merge(...shards.toReversed(), '--out', 'out')]);
  expect(merged.map(({ code }) => code)).toEqual([undefined, undefined]);
  const [name = '', ...others] = await readdir(join(folder.path, 'out'));
  expect(others).toEqual([]);
  expect(merged.map(({ stdout }) => stdout)).toEqual(Array(2).fill(`${join(folder.path, 'out', name)}\n`));
  const run = runFolderAt(join(folder.path, 'out', name));
  expect((await readFile(run.junit, 'utf8')).match(/Test[123]/g)).toEqual(['Test1', 'Test2', 'Test3']);
  expect(await readFile(join(run.cell('local.e2e.2-of-3'), 'written'), 'utf8')).toBe('2');

  const partly = await merge(shards[0] ?? '', '--out', 'partly', '--json');
  expect(JSON.parse(partly.stdout)).toMatchObject({
    problems: ['shard 2 of 3 of local.e2e has no results', 'shard 3 of 3 of local.e2e has no results'],
  });
});

it('takes no link that leads out of a shard, and no folder that is no run', async () => {
  const shard = await writeShard(1);
  await symlink('/etc/hostname', join(runFolderAt(shard).cell('local.e2e.1-of-3'), 'away'));
  const { stdout } = await merge(shard, '--out', 'out');
  expect(await readdir(runFolderAt(stdout.trim()).cell('local.e2e.1-of-3'))).toEqual(['written']);
  expect((await merge('none', '--out', 'out')).code).toMatch(/^(CLI|RES)_/);
});
