/**
 * `mk-ci github …` from outside, on a GitHub of our own: results of examples/flaky's kind → database → comment and issues.
 * Needs the build; no network, no cluster.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { GitHubServer } from '../src/github/testing/server.test-kit.js';
import { mkCi } from './mk-ci.js';

let folder: TemporaryFolder;
let server: GitHubServer;
let env: NodeJS.ProcessEnv;
const HEAD = 'a'.repeat(40);

beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-github-');
  server = await GitHubServer.start();
  server.pulls.set(7, { sha: HEAD, state: 'open', author: 'dev', files: ['src/service.ts'] });
  env = {
    PATH: process.env['PATH'],
    MK_CI_HOME: join(folder.path, 'home'),
    GITHUB_TOKEN: 'token-mk-ci-bot',
    GITHUB_REPOSITORY: 'acme/rocket',
    GITHUB_API_URL: server.url,
    MK_CI_GITHUB_SECOND_MS: '1',
  };
});
afterEach(async () => {
  expect(server.violations).toEqual([]);
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const junit = (results: Readonly<Record<string, string | undefined>>) =>
  `<testsuites><testsuite name="flaky.test.js">${Object.entries(results)
    .map(
      ([name, message]) =>
        `<testcase classname="flaky.test.js" name="${name}" time="0.1">${message === undefined ? '' : `<failure message="${message}">${message}</failure>`}</testcase>`,
    )
    .join('')}</testsuite></testsuites>`;

async function cli(args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<string> {
  const result = await mkCi(args, { cwd: folder.path, env: { ...env, ...more } });
  expect(`${result.stderr}${String(result.exitCode)}`).toMatch(/0$/);
  return result.stdout;
}

it('tells a known flake from what the change broke, opens an issue, and turns green', async () => {
  // Twenty commits on the default branch; one test fails every fourth time, with a rerun that passes.
  for (let day = 1; day <= 20; day += 1) {
    const sha = String(day).padStart(40, '0');
    const at = new Date(Date.now() - (21 - day) * 86_400_000).toISOString();
    for (const [rerun, failed] of [
      [0, day % 4 === 0],
      [1, false],
    ] as const) {
      const file = `main-${String(day)}-${String(rerun)}.xml`;
      await writeFile(
        join(folder.path, file),
        junit({
          'fails every other time': failed ? 'connection reset by peer' : undefined,
          'always answers': undefined,
        }),
      );
      await cli([
        'flake',
        'record',
        file,
        '--database',
        'flake.db',
        '--commit',
        sha,
        '--branch',
        'main',
        '--environment',
        'local',
        '--at',
        at,
        '--repository',
        'acme/rocket',
      ]);
    }
  }
  await writeFile(
    join(folder.path, 'pr.xml'),
    junit({ 'fails every other time': 'connection reset by peer', 'always answers': 'expected 2, got 3' }),
  );
  const comment = [
    'github',
    'comment',
    'pr.xml',
    '--database',
    'flake.db',
    '--environment',
    'local',
    '--sha',
    HEAD,
    '--pull-request',
    '7',
  ];
  expect(await cli([...comment, '--dry-run'])).toContain('would create a comment');
  expect(server.comments).toHaveLength(0);
  await cli(comment);
  expect(server.comments).toHaveLength(1);
  expect(server.comments[0]?.body).toContain('2 failures: 1 undecided: run again, 1 known flake');
  const shown = server.comments[0]?.body.replace(/\n<!-- mk-ci:data .*/, '') ?? '';
  if (process.env['MK_CI_SHOW'] !== undefined) await writeFile(process.env['MK_CI_SHOW'], shown);

  expect(await cli(['github', 'issues', '--database', 'flake.db'])).toContain('open');
  expect(server.issues.map(({ title }) => title)).toEqual(['Frequent test failures of `fails every other time`']);
  expect(await cli(['github', 'issues', '--database', 'flake.db'])).toBe('');
  if (process.env['MK_CI_SHOW'] !== undefined)
    await writeFile(`${process.env['MK_CI_SHOW']}.issue`, server.issues[0]?.body ?? '');

  await writeFile(
    join(folder.path, 'pr.xml'),
    junit({ 'fails every other time': undefined, 'always answers': undefined }),
  );
  await cli(comment);
  expect(server.comments).toHaveLength(1);
  expect(server.comments[0]?.body).toContain('✅ All 2 tests passed');

  const summary = join(folder.path, 'summary.md');
  await cli(['github', 'summary', 'pr.xml', '--database', 'flake.db', '--sha', HEAD], { GITHUB_STEP_SUMMARY: summary });
  expect(await readFile(summary, 'utf8')).toContain('✅ All 2 tests passed');
  await cli(['github', 'check', 'pr.xml', '--database', 'flake.db', '--sha', HEAD]);
  expect(server.checks[0]).toMatchObject({ conclusion: 'success' });
});
