/**
 * `mk-ci run` on examples/flaky → database → comment, issues, check, summary and chat on a GitHub of our own; results that a
 * stranger made. Needs the build; no network, no Kubernetes, as the cluster is a fake API on loopback.
 */
import { createHash, createHmac, randomUUID } from 'node:crypto';
import { cp, mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { GitHubServer } from '../src/github/testing/server.test-kit.js';
import { ROOT, mkCi, startMkCi } from './mk-ci.js';
import { startFakeApiServer, type FakeApiServer } from './support/fake-api-server.js';

let folder: TemporaryFolder;
let api: FakeApiServer;
let server: GitHubServer;
let env: NodeJS.ProcessEnv;
const HEAD = 'a'.repeat(40);
const DAY_MS = 86_400_000;

beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-github-');
  api = await startFakeApiServer(folder.path);
  server = await GitHubServer.start();
  server.pulls.set(7, { sha: HEAD, state: 'open', author: 'dev', files: ['src/service.ts'] });
  env = {
    PATH: process.env['PATH'],
    KUBECONFIG: api.kubeconfig,
    MK_CI_HOME: join(folder.path, 'home'),
    GITHUB_TOKEN: 'token-github-actions[bot]',
    GITHUB_ACTIONS: 'true',
    GITHUB_REPOSITORY: 'acme/rocket',
    GITHUB_API_URL: server.url,
    MK_CI_GITHUB_SECOND_MS: '1',
  };
});
afterEach(async () => {
  expect(server.violations).toEqual([]);
  await server[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

async function cli(args: readonly string[], more: NodeJS.ProcessEnv = {}, code = 0): Promise<string> {
  const result = await mkCi(args, { cwd: folder.path, env: { ...env, ...more } });
  expect(`${result.stdout}${result.stderr}\n${String(result.exitCode)}`).toMatch(new RegExp(`\\n${String(code)}$`));
  return result.stdout;
}

/** Seeds of examples/flaky with which only the test that fails every other time fails, or none does. */
function* seeds(fails: boolean): Generator<string> {
  const draw = (seed: string, name: string) =>
    parseInt(createHash('sha256').update(`${seed}/${name}`).digest('hex').slice(0, 8), 16) / 2 ** 32;
  for (let number = 1; ; number += 1) {
    const seed = String(number);
    const isQuiet = draw(seed, '1 in 100') >= 0.01 && draw(seed, '1 in 10') >= 0.1;
    if (isQuiet && draw(seed, 'every other') < 0.5 === fails) yield seed;
  }
}

/** The page shows what the bot writes; days, commits and times of a run differ. */
function plain(text: string): string {
  return (
    text
      .replaceAll(/\n<!-- mk-ci:data .*/g, '')
      .replaceAll(/<!-- mk-ci:flake .*/g, '<!-- mk-ci:flake … -->')
      .replaceAll(/\d{4}-\d\d-\d\d/g, 'DAY')
      .replaceAll(/[0-9a-f]{40}/g, 'COMMIT')
      .replaceAll(/`?[0-9a-f]{7,12}`?(?=[ )<,.])/g, 'COMMIT')
      .replaceAll(/<a href="[^"]*">/g, '<a>')
      // Frames name folders of this machine.
      .replaceAll(/^ +at .*\n/gm, '')
      .trim()
  );
}

it('goes from runs of examples/flaky to a comment, an issue and answers', { timeout: 900_000 }, async () => {
  for (const name of ['flaky.test.js', 'package.json', 'vitest.config.js'])
    await cp(join(ROOT, 'examples', 'flaky', name), join(folder.path, name));
  const config = await readFile(join(ROOT, 'examples', 'flaky', 'mk-ci.yaml'), 'utf8');
  await writeFile(
    join(folder.path, 'mk-ci.yaml'),
    config.replace('- driver: local\n    nodes: 0', '- driver: existing\n    name: local-v1.36'),
  );
  await symlink(join(ROOT, 'node_modules'), join(folder.path, 'node_modules'));
  const database = ['--database', 'flake.db'];
  const [failing, passing] = [seeds(true), seeds(false)];
  const nextSeed = (fails: boolean) => String((fails ? failing : passing).next().value);
  // Six commits of the default branch, each tested twice; at first one of the two runs fails, later none.
  for (let day = 1; day <= 6; day += 1) {
    const out = `out-${String(day)}`;
    const fails = day <= 5;
    await Promise.all([
      cli(['run', '--out', out, '--retries', '0'], { FLAKY_SEED: nextSeed(fails) }, fails ? 1 : 0),
      cli(['run', '--out', out, '--retries', '0'], { FLAKY_SEED: nextSeed(false) }),
    ]);
    const folders = (await readdir(join(folder.path, out))).filter((name) => name !== 'latest');
    const at = new Date(Date.now() - (7 - day) * DAY_MS).toISOString();
    const commit = String(day).padStart(40, '0');
    await cli([
      'flake',
      'record',
      ...folders.map((name) => join(out, name)),
      ...database,
      '--commit',
      commit,
      '--branch',
      'main',
      '--at',
      at,
    ]);
  }

  // The pull request breaks a feature; the flaky test fails beside it.
  const broken = { FLAKY_SEED: nextSeed(true), FLAKY_BROKEN: '1', MK_CI_HEAD_SHA: HEAD };
  await cli(['run', '--out', 'out-pr', '--retries', '3'], broken, 1);
  const about = [...database, '--sha', HEAD];
  const comment = ['github', 'comment', 'out-pr/latest', ...about, '--pull-request', '7'];
  expect(await cli([...comment, '--dry-run'])).toContain('would create a comment');
  expect(server.comments).toHaveLength(0);
  await cli(comment);
  await cli(comment);
  expect(server.comments).toHaveLength(1);
  const red = server.comments[0]?.body ?? '';
  expect(red).toContain('2 failures: 1 caused by this change, 1 known flake');
  expect(await cli(['github', 'issues', ...database])).toContain('open');
  expect(server.issues).toHaveLength(1);
  expect(await cli(['github', 'issues', ...database])).toBe('');
  await cli(['github', 'check', 'out-pr/latest', ...about]);
  expect(server.checks[0]).toMatchObject({ conclusion: 'failure' });

  server.permissions.set('dev', 'read');
  const event = {
    action: 'created',
    repository: { full_name: 'acme/rocket' },
    issue: { number: 7, pull_request: { url: 'x' } },
    comment: {
      id: 99,
      body: '/flake-status fails every other time',
      created_at: new Date().toISOString(),
      user: { login: 'dev', type: 'User' },
    },
  };
  await writeFile(join(folder.path, 'event.json'), JSON.stringify(event));
  await cli(['github', 'chat', '--event', 'event.json', ...database]);
  const answer = server.comments.at(-1)?.body ?? '';
  expect(answer).toContain('5 of 12');
  await chatThroughServe({ ...event, comment: { ...event.comment, id: 100 } }, database);
  expect(server.comments.at(-1)?.body).toBe(answer.replace('to=99', 'to=100'));

  await cli(['run', '--out', 'out-fixed'], { FLAKY_SEED: nextSeed(false), MK_CI_HEAD_SHA: HEAD });
  await cli(['github', 'comment', 'out-fixed/latest', ...about, '--pull-request', '7']);
  const green = server.comments[0]?.body ?? '';
  expect(green).toContain('✅ All 5 tests passed');
  const summary = join(folder.path, 'summary.md');
  await cli(['github', 'summary', 'out-fixed/latest', ...about], { GITHUB_STEP_SUMMARY: summary });
  expect(await readFile(summary, 'utf8')).toContain('✅ All 5 tests passed');

  const page = plain(await readFile(join(ROOT, 'docs', 'github.md'), 'utf8').catch(() => ''));
  const texts = { red, issue: server.issues[0]?.body ?? '', answer, green };
  const show = process.env['MK_CI_SHOW'];
  for (const [name, text] of Object.entries(texts)) {
    if (show !== undefined) await writeFile(`${show}.${name}.md`, text.replaceAll(/\n<!-- mk-ci:data .*/g, ''));
    else expect(page).toContain(plain(text));
  }
});

/** Delivers a comment as GitHub does, signed, to a running `mk-ci serve`; a delivery of somebody else is refused. */
async function chatThroughServe(event: object, database: readonly string[]): Promise<void> {
  const secret = 'a secret of 26 characters!';
  await writeFile(join(folder.path, 'secret'), secret);
  const before = server.comments.length;
  const serve = startMkCi(['serve', ...database, '--listen', '127.0.0.1:0', '--webhook-secret-file', 'secret'], {
    cwd: folder.path,
    env,
  });
  await serve.sees(/^http.*\n/m);
  const body = JSON.stringify(event);
  const deliver = async (key: string) =>
    await fetch(new URL('/api/github/webhook', serve.stdout().trim()), {
      method: 'POST',
      body,
      headers: {
        'x-github-event': 'issue_comment',
        'x-github-delivery': randomUUID(),
        'x-hub-signature-256': `sha256=${createHmac('sha256', key).update(body).digest('hex')}`,
      },
    });
  try {
    expect((await deliver('a secret of somebody else')).status).toBe(401);
    expect((await deliver(secret)).status).toBe(202);
    expect((await deliver(secret)).status).toBe(409);
    await vi.waitFor(() => {
      expect(server.comments).toHaveLength(before + 1);
    }, 60_000);
  } finally {
    serve.signal('SIGTERM');
    await serve.ended;
  }
}

const line = (value: object) => `${JSON.stringify(value)}\n`;
const at = '2026-11-21T10:00:00.000Z';
const started = (cells: readonly unknown[], more: object = {}) =>
  line({
    type: 'run-started',
    version: 1,
    at,
    runId: 'r',
    toolVersion: '1',
    source: {},
    environments: [],
    cells,
    ...more,
  });
const cell = { id: 'e.s', environment: 'e', suite: 's' };
const failed = (name: unknown, message: unknown = 'broke') =>
  line({
    type: 'test-ended',
    cell: 'e.s',
    attempt: 1,
    test: { package: 'p', name },
    status: 'failed',
    failure: { message, text: message },
  });

it('takes results of a stranger for what they are', async () => {
  const shard = join(folder.path, 'shard');
  await mkdir(shard);
  const post = async (events: string, code = 0): Promise<string> => {
    await writeFile(join(shard, 'events.jsonl'), events);
    const event = join(folder.path, 'event.json');
    await writeFile(event, JSON.stringify({ workflow_run: { head_sha: HEAD } }));
    const result = await mkCi(['github', 'comment', 'shard', '--database', 'none.db', '--max-input', '1'], {
      cwd: folder.path,
      env: { ...env, GITHUB_EVENT_PATH: event },
    });
    expect(result.stderr).not.toMatch(/CLI_INTERNAL| {4}at /);
    expect([result.exitCode === 0, result.stderr]).toEqual([code === 0, result.stderr]);
    return server.comments[0]?.body ?? '';
  };
  const start = started([cell], { source: { repository: 'evil/repo', commit: 'c'.repeat(40), pullRequest: 1 } });
  const attempt = line({
    type: 'attempt-started',
    at,
    cell: 'e.s',
    attempt: 1,
    command: ['x'],
    folder: '../../../../etc',
  });
  // Another repository, commit and pull request are not believed; marks, mentions and HTML are text.
  const body = await post(
    start +
      attempt +
      failed(
        'Test|@all <img src=x>',
        'one\n```\n<!-- mk-ci:data AAAA -->\n<!-- mk-ci:report v=1 key=default -->\n<script>',
      ),
  );
  expect(server.comments.map(({ issue }) => issue)).toEqual([7]);
  expect(body).not.toMatch(/@all|<img|<script>\n(?!```)|Test\|/);
  expect(body.match(/<!-- mk-ci:/g)).toHaveLength(2);
  // What is no record, and what is one only on the outside, is refused by name.
  await post(start + attempt + failed('T', 7), 1);
  await post(started([7]), 1);
  await post(started([{ ...cell, environment: { a: 1 } }]), 1);
  await post('\0\0\0', 1);
  await post(start + attempt + failed('x'.repeat(2_000_000)), 1);
  await rm(join(shard, 'events.jsonl'));
});

it('merges no folder that leads out of its own', async () => {
  const make = async (name: string, id: string, runId = 'run'): Promise<string> => {
    const root = join(folder.path, name);
    await mkdir(join(root, 'cells', 'e.s', 'attempt-1'), { recursive: true });
    await writeFile(
      join(root, 'events.jsonl'),
      started([{ ...cell, id }], { runId }) + line({ type: 'cell-started', at, cell: id }),
    );
    return root;
  };
  for (const bad of ['../../../../tmp/x', '..', 'a/b', '']) {
    const result = await mkCi(['merge', await make('bad', bad), '--out', 'merged'], { cwd: folder.path, env });
    expect(result.stderr).toContain('RES_MALFORMED');
  }
  const named = await mkCi(['merge', await make('run', 'e.s', '../../evil'), '--out', 'merged'], {
    cwd: folder.path,
    env,
  });
  expect(named.stderr).toContain('RES_MALFORMED');
  const root = await make('good', 'e.s');
  await symlink('/etc/passwd', join(root, 'cells', 'e.s', 'attempt-1', 'stdout.log'));
  await cli(['merge', root, '--out', 'merged']);
  expect(await readdir(join(folder.path, 'merged', 'run', 'cells', 'e.s', 'attempt-1'))).toEqual([]);
});
