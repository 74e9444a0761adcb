import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createLogger } from '../../log.js';
import { createGitHub, type IssueFacts } from '../client/client.js';
import { GitHubServer } from '../testing/server.test-kit.js';
import { applyIssueActions } from './act.js';
import { decideIssues, type IssueAction, type IssueInput } from './decide.js';
import { FLIP_FLOP_LABEL, ISSUE_LABEL, readMemory, type TestHealth } from './model.js';

const DAY = 86_400_000;
const T0 = Date.UTC(2026, 10, 1);
const log = createLogger({ write: () => undefined });
let server: GitHubServer;
let nowMs = T0;

beforeEach(async () => {
  nowMs = T0;
  server = await GitHubServer.start();
  server.now = () => new Date(nowMs).toISOString();
});
afterEach(async () => {
  expect(server.violations).toEqual([]);
  await server[Symbol.asyncDispose]();
});

type State = TestHealth['environments'][number]['state'];
const test = (
  name: string,
  state: State,
  extra: { low?: number; failuresAt?: number[]; signature?: string } = {},
): TestHealth => ({
  id: { package: 'example.com/rocket', name },
  environments: [
    {
      environment: 'docker',
      state,
      failed: state === 'healthy' ? 0 : 6,
      attempts: 40,
      low: extra.low ?? 0.07,
      high: 0.3,
      mixedCommits: 3,
      days: [{ day: '2026-11-01', failed: 2, attempts: 10 }],
      failures: (extra.failuresAt ?? [nowMs - DAY]).map((atMs) => ({
        atMs,
        commit: 'c'.repeat(39) + String(atMs % 10),
        message: 'dial tcp: refused',
      })),
    },
  ],
  ...(extra.signature === undefined ? {} : { signature: { key: extra.signature, text: extra.signature } }),
});

const github = () =>
  createGitHub({
    repository: 'acme/rocket',
    auth: { kind: 'token', token: 'token-bot' },
    baseUrl: server.url,
    isActions: false,
    log,
    signal: new AbortController().signal,
    secondMs: 1,
  });

const decide = (
  tests: readonly TestHealth[],
  issues: readonly IssueFacts[],
  policy: Partial<IssueInput['policy']> = {},
) =>
  decideIssues({
    repository: 'acme/rocket',
    tests,
    issues,
    author: 'bot',
    nowMs,
    policy: { openAt: 0.05, ...policy },
    links: {},
  });

/** One run of the bot. */
async function step(
  tests: readonly TestHealth[],
  policy: Partial<IssueInput['policy']> = {},
): Promise<IssueAction['type'][]> {
  const one = github();
  const actions = decide(tests, await one.issues(ISSUE_LABEL), policy);
  expect(await applyIssueActions(one, actions, { log, signal: new AbortController().signal })).toBe(0);
  return actions.map(({ type }) => type);
}

describe('issues', () => {
  it('opens one for a flaky test with minikube’s title, and finds it again whatever the test is called', async () => {
    for (const name of ['TestA/x=1#01', 'Test `b` | @octocat <b>', 'Test🎉']) {
      expect(await step([test(name, 'flaky')])).toEqual(['open']);
      expect(await step([test(name, 'flaky')])).toEqual([]);
      server.issues.length = 0;
    }
    await step([test('TestA/x=1#01', 'flaky')]);
    expect(server.issues[0]?.title).toBe('Frequent test failures of `TestA/x=1#01`');
    server.issues[0]!.title = 'renamed by a person';
    expect(await step([test('TestA/x=1#01', 'flaky')])).toEqual([]);
  });

  it('opens none below the threshold, for one mixed commit, or for a suspicion', async () => {
    expect(
      await step([test('TestA', 'flaky', { low: 0.01 }), test('TestB', 'suspected'), test('TestC', 'healthy')]),
    ).toEqual([]);
    expect(await step([test('TestD', 'broken', { low: 0.01 })])).toEqual(['open']);
  });

  it('keeps what people write, and comments once a week while it still fails', async () => {
    await step([test('TestA', 'flaky')]);
    server.issues[0]!.body += '\n\nSeems to be the network.';
    nowMs += 3 * DAY;
    expect(await step([test('TestA', 'flaky')])).toEqual(['update']);
    nowMs += 5 * DAY;
    expect(await step([test('TestA', 'flaky')])).toEqual(['update', 'comment']);
    expect(await step([test('TestA', 'flaky')])).toEqual([]);
    expect(server.issues[0]?.body).toContain('Seems to be the network.');
    expect(server.comments).toHaveLength(1);
  });

  it('closes a healthy one, opens it again, and gives up closing after the third time', async () => {
    await step([test('TestA', 'flaky')]);
    for (let round = 1; round <= 3; round += 1) {
      nowMs += 15 * DAY;
      expect(await step([test('TestA', 'healthy', { failuresAt: [] })])).toEqual(['close']);
      nowMs += 5 * DAY;
      // What failed before it was closed is still in the window.
      const old = [nowMs - 6 * DAY, nowMs - 7 * DAY];
      expect(await step([test('TestA', 'flaky', { failuresAt: old })])).toEqual([]);
      expect(await step([test('TestA', 'flaky', { failuresAt: [nowMs - 1, ...old] })])).toEqual([]);
      expect(await step([test('TestA', 'flaky', { failuresAt: [nowMs - 1, nowMs - 2, ...old] })])).toEqual(['reopen']);
    }
    expect(server.issues[0]?.labels).toContain(FLIP_FLOP_LABEL);
    nowMs += 15 * DAY;
    expect(await step([test('TestA', 'healthy', { failuresAt: [] })])).not.toContain('close');
    expect(server.issues).toHaveLength(1);
    expect(server.issues[0]?.state).toBe('open');
  });

  it('respects a person who closed it, for 14 days and until two more commits fail', async () => {
    await step([test('TestA', 'flaky')]);
    server.issues[0]!.state = 'closed';
    server.issues[0]!.closedAt = new Date(nowMs).toISOString();
    nowMs += 5 * DAY;
    expect(await step([test('TestA', 'flaky')])).toEqual(['none']);
    nowMs += 10 * DAY;
    expect(await step([test('TestA', 'flaky', { failuresAt: [nowMs - DAY] })])).toEqual(['none']);
    expect(await step([test('TestA', 'flaky', { failuresAt: [nowMs - 1, nowMs - 2] })])).toEqual(['reopen']);
  });

  it('opens a new one that names the old after two months', async () => {
    await step([test('TestA', 'flaky')]);
    nowMs += 15 * DAY;
    await step([test('TestA', 'healthy', { failuresAt: [] })]);
    nowMs += 70 * DAY;
    expect(await step([test('TestA', 'flaky', { failuresAt: [nowMs - 1, nowMs - 2] })])).toEqual(['open']);
    expect(server.issues[1]?.body).toContain('Seen before in #1.');
    expect(await step([test('TestA', 'flaky', { failuresAt: [nowMs - 1, nowMs - 2] })])).toEqual([]);
  });

  it('writes one issue for one failure that many tests share', async () => {
    const tests = ['TestA', 'TestB', 'TestC', 'TestD'].map((name) =>
      test(name, 'flaky', { signature: 'registry said no @all' }),
    );
    expect(await step(tests)).toEqual(['open']);
    expect(server.issues[0]?.title).not.toMatch(/@all/);
    expect(await step(tests)).toEqual([]);
  });

  it('opens at most five in one go, the worst first, and says what it left', async () => {
    const tests = Array.from({ length: 8 }, (_, index) =>
      test(`Test${String(index)}`, 'flaky', { low: 0.06 + index / 100 }),
    );
    expect(await step(tests)).toEqual(['open', 'open', 'open', 'open', 'open', 'none', 'none', 'none']);
    expect(server.issues[0]?.title).toContain('Test7');
  });

  it('closes a later duplicate and takes no notice of a forged marker', async () => {
    await step([test('TestA', 'flaky')]);
    const [first] = server.issues;
    server.issues.push({ ...first!, number: 2 }, { ...first!, number: 3, author: 'mallory' });
    expect(await step([test('TestA', 'flaky')])).toEqual(['close']);
    expect(server.issues.map(({ state }) => state)).toEqual(['open', 'closed', 'open']);
  });

  it('does not open twice when the answer to a create is lost, and assigns owners as far as GitHub allows', async () => {
    let isFirst = true;
    server.fault = (operation) => {
      if (!isFirst || operation !== 'POST /repos/{owner}/{repo}/issues') return undefined;
      isFirst = false;
      return { status: 502, message: 'Bad Gateway', afterwards: true };
    };
    await step([test('TestA', 'flaky')], {
      ownerOf: ({ test: name }) => (name === 'TestA' ? '@alice docs@example.com @acme/storage' : undefined),
    });
    expect(server.issues).toHaveLength(1);
    expect(server.issues[0]?.assignees).toEqual(['alice']);
    expect(server.issues[0]?.body).toContain('Owners: @acme/storage\n');
    isFirst = true;
    server.fault = (operation) => {
      if (!isFirst || operation !== 'POST /repos/{owner}/{repo}/issues') return undefined;
      isFirst = false;
      return { status: 422, message: 'Validation Failed' };
    };
    await step([test('TestA', 'flaky'), test('TestB', 'flaky')], { ownerOf: () => 'nobody' });
    expect(server.issues[1]?.assignees).toEqual([]);
  });

  it('closes the issue of a test that is gone', async () => {
    await step([test('TestA', 'flaky')]);
    nowMs += 31 * DAY;
    expect(await step([])).toEqual(['close']);
    expect(readMemory(server.issues[0]!.body)?.left).toBe('closed');
  });
});
