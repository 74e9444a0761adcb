import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openFlakeStore, parseQuarantine, type FlakeStore } from '../../flake/index.js';
import { createLogger } from '../../log.js';
import { createGitHub, type GitHub } from '../client/client.js';
import { runOf } from '../testing/runs.test-kit.js';
import { GitHubServer } from '../testing/server.test-kit.js';
import { decideChat, type ChatFacts } from './decide.js';
import { chatCommentOf, issueCommentSchema, type ChatComment } from './event.js';
import { handleChat, type ChatOutcome } from './handle.js';
import { parseChat } from './parse.js';
import { addToQuarantine } from './quarantine-file.js';

const SHA = 'a'.repeat(40);
const WRITTEN = '2026-11-21T12:00:00Z';

describe('commands in a comment', () => {
  it('are lines of their own, once each, with names as people paste them', () => {
    expect(parseChat('Thanks!\r\n/retest\r\n/retest \r\n/flake-status')).toEqual([
      { name: 'retest' },
      { name: 'flake-status' },
    ]);
    expect(parseChat('/flake-status `TestA/x=1#01`')).toEqual([{ name: 'flake-status', test: 'TestA/x=1#01' }]);
    expect(parseChat('/quarantine a service > fails every other time --days 7 --environment docker')).toEqual([
      { name: 'quarantine', test: 'a service > fails every other time', environment: 'docker', days: 7 },
    ]);
    expect(parseChat('/quarantine TestB')).toEqual([{ name: 'quarantine', test: 'TestB', environment: '*', days: 14 }]);
  });

  it('are not read in quotes, code, HTML comments, our own answers, or the commands of other bots', () => {
    for (const body of [
      '> /retest',
      'say /retest',
      '    /retest',
      '```\n/retest\n```',
      '~~~~\n/retest\n~~~\n/retest',
      '````md\n```\n/retest\n````',
      '<!--\n/retest\n-->',
      '<!-- mk-ci:reply to=1 -->\n/retest',
      '/retest-required',
      '/Retest',
      '/lgtm',
      `/retest${' '.repeat(5_000)}x`,
    ]) {
      expect(parseChat(body)).toEqual([]);
    }
    expect(parseChat('```\nlog\n```\n/retest')).toEqual([{ name: 'retest' }]);
  });

  it('are answered when they are wrong', () => {
    for (const line of [
      '/retest all',
      '/ok-to-test now',
      '/quarantine',
      '/quarantine *',
      '/quarantine T --days 0',
      '/quarantine T --days 91',
      '/quarantine T --days 7 --days 8',
    ]) {
      expect(parseChat(line).map(({ name }) => name)).toEqual(['wrong']);
    }
  });

  it('are at most five, whatever is written', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom(
            '/retest',
            '/ok-to-test',
            '/quarantine ',
            '/flake-status ',
            '`',
            '```',
            '\n',
            '<!--',
            ' --days ',
            '7',
            'T',
          ),
          { maxLength: 60 },
        ),
        (parts) => {
          expect(parseChat(parts.join('')).length).toBeLessThanOrEqual(5);
        },
      ),
    );
  });

  it('come from new comments of people on pull requests', () => {
    const event = (change: object, comment: object = {}, issue: object = {}) =>
      chatCommentOf(
        issueCommentSchema.parse({
          action: 'created',
          repository: { full_name: 'acme/rocket' },
          issue: { number: 7, pull_request: { url: 'x' }, ...issue },
          comment: { id: 1, body: '/retest', created_at: WRITTEN, user: { login: 'dev', type: 'User' }, ...comment },
          ...change,
        }),
      );
    expect(event({})).toMatchObject({ pullRequest: 7, author: 'dev' });
    expect(event({ action: 'edited' })).toBeUndefined();
    expect(event({}, { user: { login: 'x[bot]' } })).toBeUndefined();
    expect(event({}, { user: { login: 'x', type: 'Bot' } })).toBeUndefined();
    expect(event({}, { user: null })).toBeUndefined();
    expect(event({}, {}, { pull_request: undefined })).toBeUndefined();
    expect(() => event({ repository: { full_name: '../x' } })).toThrow();
  });
});

describe('what is done', () => {
  const facts = (change: Partial<ChatFacts>): ChatFacts => ({
    author: 'dev',
    permission: 'read',
    writtenAt: WRITTEN,
    pullRequest: { number: 7, isOpen: true, author: 'dev', labels: [] },
    runs: [
      { id: 1, status: 'completed', conclusion: 'failure', createdAt: WRITTEN },
      { id: 2, status: 'completed', conclusion: 'success', createdAt: WRITTEN },
      { id: 3, status: 'completed', conclusion: 'action_required', createdAt: WRITTEN },
      { id: 4, status: 'completed', conclusion: 'action_required', createdAt: '2026-11-21T12:00:01Z' },
    ],
    ...change,
  });
  const types = (body: string, change: Partial<ChatFacts> = {}) =>
    decideChat(parseChat(body), facts(change)).map(({ type }) => type);

  it('follows the rights of who asks', () => {
    const labelled = { number: 7, isOpen: true, author: 'Dev', labels: ['ok-to-test'] };
    expect(types('/retest')).toEqual(['say']);
    expect(types('/retest', { pullRequest: labelled })).toEqual(['rerun']);
    expect(types('/retest', { pullRequest: { ...labelled, author: 'other' } })).toEqual(['say']);
    expect(types('/retest', { permission: 'write' })).toEqual(['rerun']);
    for (const permission of ['none', 'read'] as const) {
      expect(types('/ok-to-test\n/quarantine T', { permission, pullRequest: labelled })).toEqual(['say', 'say']);
      expect(types('/flake-status', { permission })).toEqual(['show']);
    }
    expect(types('/quarantine T', { permission: 'admin' })).toEqual(['propose']);
  });

  it('approves only what was there when the comment was written', () => {
    expect(decideChat(parseChat('/ok-to-test'), facts({ permission: 'write' }))).toMatchObject([
      { type: 'label' },
      { type: 'approve', runId: 3 },
      { type: 'say' },
    ]);
  });

  it('says when there is nothing to run', () => {
    expect(types('/retest', { permission: 'write', runs: [] })).toEqual(['say']);
    expect(
      types('/retest\n/ok-to-test', {
        permission: 'write',
        pullRequest: { number: 7, isOpen: false, author: 'dev', labels: [] },
      }),
    ).toEqual(['say', 'say']);
  });
});

describe('the quarantine file', () => {
  const request = {
    test: 'TestA #1: "x"',
    environment: '*',
    issue: 'https://github.com/a/b/issues/1',
    owner: 'dev',
    until: '2026-12-05',
  };

  it('keeps what people wrote, and replaces an entry', () => {
    const text =
      '# Do not grow this.\nquarantine:\n  # since the move\n  - { test: TestOld, issue: "https://x/1", owner: me, until: "2026-12-01" }\nowners: []\n';
    const once = addToQuarantine(text, request, 'q.yaml');
    expect(once).toContain('# Do not grow this.');
    expect(once).toContain('# since the move');
    const twice = addToQuarantine(once, { ...request, until: '2026-12-31' }, 'q.yaml');
    expect(parseQuarantine(twice).quarantine.map(({ test, until }) => [test, until])).toEqual([
      ['TestOld', '2026-12-01'],
      ['TestA #1: "x"', '2026-12-31'],
    ]);
    expect(() => addToQuarantine('quarantine: 7', request, 'q.yaml')).toThrow();
  });

  it('holds any name as it is', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: 'binary' }), fc.boolean(), (test, isNew) => {
        const text = addToQuarantine(isNew ? undefined : '# empty\n', { ...request, test }, 'q.yaml');
        expect(parseQuarantine(text).quarantine).toMatchObject([{ test, until: '2026-12-05' }]);
      }),
      { numRuns: 60 },
    );
  });
});

describe('a comment from beginning to end', () => {
  let server: GitHubServer;
  let store: FlakeStore;
  beforeEach(async () => {
    server = await GitHubServer.start();
    server.pulls.set(7, { sha: SHA, state: 'open', author: 'dev', files: [] });
    server.permissions.set('maintainer', 'write');
    server.permissions.set('dev', 'read');
    server.workflowRuns.push({ id: 11, sha: SHA, status: 'completed', conclusion: 'failure' });
    store = await openFlakeStore(':memory:');
    for (let day = 1; day <= 8; day += 1) {
      const startedAt = `2026-11-${String(day + 10)}T10:00:00.000Z`;
      await store.recordRun(
        runOf({
          runId: `run-${String(day)}`,
          sha: String(day).padStart(40, '0'),
          branch: 'main',
          startedAt,
          results: { docker: { 'Test|@all `x`': day % 4 === 0 ? ['failed', 'passed'] : 'passed', TestB: 'passed' } },
        }),
        { startedAtMs: Date.parse(startedAt), repository: 'acme/rocket' },
      );
    }
  });
  afterEach(async () => {
    expect(server.violations).toEqual([]);
    await store.close();
    await server[Symbol.asyncDispose]();
  });

  const lines: string[] = [];
  const log = createLogger({ write: (line) => lines.push(line) });
  const github = (): GitHub =>
    createGitHub({
      repository: 'acme/rocket',
      auth: { kind: 'token', token: 'token-github-actions[bot]' },
      baseUrl: server.url,
      isActions: true,
      log,
      signal: new AbortController().signal,
      secondMs: 1,
    });
  const comment = (author: string, body: string): ChatComment => ({
    repository: 'acme/rocket',
    pullRequest: 7,
    id: server.addComment(7, author, body).id,
    author,
    body,
    writtenAt: WRITTEN,
  });
  const handle = async (one: ChatComment, dryRun = false): Promise<ChatOutcome> =>
    await handleChat(github(), one, {
      store,
      quarantinePath: '.github/quarantine.yaml',
      repositoryUrl: 'https://github.com/acme/rocket',
      nowMs: Date.parse(WRITTEN),
      dryRun,
      log,
      signal: new AbortController().signal,
    });

  it('runs failed jobs again, once, and says it with a reaction', async () => {
    const one = comment('maintainer', '/retest');
    await Promise.all([handle(one), handle(one)]);
    await handle(one);
    expect(server.reruns).toEqual([11]);
    expect(server.reactions.map(({ content }) => content)).toEqual(['eyes', 'rocket']);
    expect(server.comments).toHaveLength(1);
  });

  it('costs nothing when there is no command, and nothing is written in a dry run', async () => {
    await handle(comment('dev', 'looks good'));
    expect(server.log).toEqual([]);
    expect((await handle(comment('maintainer', '/retest'), true)).actions).toEqual([{ type: 'rerun', runId: 11 }]);
    expect(server.log.filter((line) => !line.startsWith('GET'))).toEqual([]);
  });

  it('lets a stranger look but not act, until someone who may write finds the change ok to test', async () => {
    server.workflowRuns.push({ id: 12, sha: SHA, status: 'action_required', conclusion: null });
    await handle(comment('dev', '/retest\n/ok-to-test\n/quarantine TestB'));
    expect(server.comments.at(-1)?.body).toContain('needs the right to write');
    expect([...server.reruns, ...server.approved, ...server.proposed]).toEqual([]);
    await handle(comment('maintainer', '/ok-to-test'));
    expect(server.approved).toEqual([12]);
    await handle(comment('dev', '/retest'));
    expect(server.reruns).toEqual([11]);
  });

  it('shows rates without mentioning anybody', async () => {
    const { reply = '' } = await handle(comment('dev', '/flake-status'));
    expect(reply).toContain('2 of 10');
    expect(reply).not.toMatch(/@all|Test\|/);
    expect(reply).toContain('docker');
    expect((await handle(comment('dev', '/flake-status TestB'))).reply).toContain('0 of 8');
    expect((await handle(comment('dev', '/flake-status Nope@all'))).reply).not.toContain('@all');
  });

  it('proposes a quarantine as a pull request, once', async () => {
    const old = 'quarantine: [] # none\n';
    server.files.set('.github/quarantine.yaml', old);
    const { reply } = await handle(comment('maintainer', '/quarantine Test|@all `x`'));
    expect(reply).toContain('#501');
    expect(server.proposed).toHaveLength(1);
    expect(server.proposed[0]?.title).not.toMatch(/@all/);
    const [branch = ''] = [...server.branches.keys()].filter((name) => name !== 'main');
    expect(parseQuarantine(server.files.get(`${branch}:.github/quarantine.yaml`) ?? '').quarantine).toMatchObject([
      {
        test: 'Test|@all `x`',
        owner: 'maintainer',
        until: '2026-12-05',
        issue: 'https://github.com/acme/rocket/pull/7',
      },
    ]);
    expect((await handle(comment('maintainer', '/quarantine Test|@all `x`'))).reply).toContain('was proposed before');
    expect(server.proposed).toHaveLength(1);
  });

  it('says what GitHub refused, and goes on with the next command', async () => {
    server.fault = (operation) =>
      operation.endsWith('/rerun-failed-jobs')
        ? { status: 403, message: 'Resource not accessible by integration' }
        : undefined;
    const { reply } = await handle(comment('maintainer', '/retest\n/flake-status TestB'));
    expect(reply).toContain('GH_FORBIDDEN');
    expect(reply).toContain('0 of 8');
    expect(server.reactions.at(-1)?.content).toBe('confused');
  });
});
