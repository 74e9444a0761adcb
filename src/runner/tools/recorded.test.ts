import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { parseConfig } from '../../config/index.js';
import { addReadEvent, createCellState, summarizeCell } from '../../results/accumulate.js';
import { ALL_FORMATS } from '../../results/index.js';
import { createOutputReader } from '../output-reader.js';
import { planRun } from '../plan.js';
import { planRerun } from './select.js';

/** From what a real tool printed to the command that runs its failed tests again. */
async function rerunOf(command: string, file: string, baseFolder: string, files: readonly string[]) {
  const state = createCellState();
  const reader = await createOutputReader({
    formats: ALL_FORMATS,
    format: 'auto',
    emit: (event) => {
      if (event.type !== 'output') addReadEvent(state, event, 1);
    },
    baseFolder,
  });
  await reader.write(await readFile(join(import.meta.dirname, 'fixtures', file)));
  await reader.end({ timedOut: false });
  const config = `version: 1\nsuites: [{ name: s, retries: 1, command: ${JSON.stringify(command)} }]`;
  const [cell] = planRun(parseConfig(config, '/project/mk-ci.yaml')).cells;
  if (cell === undefined) throw new Error('no cell');
  return planRerun(cell, {
    tests: summarizeCell(state),
    problems: [],
    attempt: 1,
    exists: (path) => files.includes(path),
  }).steps;
}

const NAMES = '^ ?(group \\(x\\)(?: > | )breaks \\$1\\.50 \\[once\\]|top breaks|each 2)$';

describe('planRerun on recorded output', () => {
  it('selects the failed tests of jest and vitest by name and file, though another file has a namesake', async () => {
    const files = ['a.test.js', 'b.test.js'];
    expect(await rerunOf('npx jest --json', 'jest.json', '/project/jest', files)).toEqual([
      ['npx', 'jest', '--json', '-t', NAMES, '--runTestsByPath', 'a.test.js'],
    ]);
    expect(await rerunOf('npx vitest run --reporter=json', 'vitest.json', '/project/js', files)).toEqual([
      ['npx', 'vitest', 'run', '--reporter=json', '-t', NAMES, 'a.test.js'],
    ]);
  });

  it('selects the failed tests of one Playwright project, also of those that share a line', async () => {
    const steps = await rerunOf('npx playwright test --reporter=json', 'playwright-projects.json', '/project/pw', [
      'a.spec.js',
      'b.spec.js',
    ]);
    const grep = '^ ?one (?:.* )?each 2(?: @.*)?$|^ ?one (?:.* )?group(?: > | )breaks once(?: @.*)?$';
    expect(steps).toEqual([
      ['npx', 'playwright', 'test', '--reporter=json', '--grep', grep, 'a.spec.js:7', 'a.spec.js:5'],
    ]);
  });

  it('selects the failed tests of pytest by node id, with classes and parameters', async () => {
    const files = ['tests/test_a.py', 'tests/test_b.py'];
    expect(await rerunOf('python3 -m pytest -q tests', 'pytest-junit.xml', '/project/py', files)).toEqual([
      [
        ...['python3', '-m', 'pytest', '-q'],
        ...['tests/test_a.py::TestPods::test_breaks', 'tests/test_a.py::test_param[c/d]'],
      ],
    ]);
  });
});
