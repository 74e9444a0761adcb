import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createLogger } from '../../log.js';
import { createGitHub, type GitHub } from '../client/client.js';
import { runOf } from '../testing/runs.test-kit.js';
import { GitHubServer } from '../testing/server.test-kit.js';
import { postComment } from './act.js';
import { sectionOf } from './section.js';
import { commentMarker, decodeState } from './state.js';

const SHA = 'a'.repeat(40);
const BOT = 'github-actions[bot]';
let server: GitHubServer;

beforeEach(async () => {
  server = await GitHubServer.start();
  server.pulls.set(7, { sha: SHA, state: 'open', author: 'dev', files: [] });
});
afterEach(async () => {
  expect(server.violations).toEqual([]);
  await server[Symbol.asyncDispose]();
});

const lines: string[] = [];
const log = createLogger({ write: (line) => lines.push(line) });
const client = (login = BOT, signal = new AbortController().signal): GitHub =>
  createGitHub({
    repository: 'acme/rocket',
    auth: { kind: 'token', token: `token-${login}` },
    baseUrl: server.url,
    isActions: true,
    log,
    signal,
    secondMs: 1,
  });

const sectionFor = (key: string, status: 'failed' | 'passed' = 'failed') =>
  sectionOf(
    runOf({
      runId: `${key}-${status}`,
      startedAt: status === 'failed' ? '2026-11-21T10:00:00Z' : '2026-11-21T11:00:00Z',
      results: { [key]: { 'TestA#01': status } },
    }),
    {
      key,
      sha: SHA,
      evidence: new Map(),
    },
  );

const post = async (key: string, status: 'failed' | 'passed' = 'failed', github = client()) =>
  await postComment(github, {
    pullRequest: 7,
    section: sectionFor(key, status),
    render: { key: 'default' },
    log,
    signal: new AbortController().signal,
    pause: () => Promise.resolve(),
  });

const ours = () => server.comments.filter(({ body }) => body.startsWith(commentMarker('default')));

describe('posting the comment', () => {
  it('edits one comment in place, behind 300 others', async () => {
    for (let number = 0; number < 300; number += 1) server.addComment(7, 'dev', `words ${String(number)}`);
    await post('docker');
    await post('podman');
    const actions = await post('docker', 'passed');
    expect(actions.map(({ type }) => type)).toEqual(['update']);
    expect(ours()).toHaveLength(1);
    expect(server.log.filter((line) => line.startsWith('POST'))).toHaveLength(1);
    expect(decodeState(ours()[0]!.body)?.sections.map(({ key }) => key)).toEqual(['docker', 'podman']);
  });

  it('keeps what two bots say that read at the same moment and then both write', async () => {
    for (const prepared of [[], ['first']]) {
      for (const key of prepared) await post(key);
      // Both have listed the comments before either may write.
      let readers = 0;
      let open: () => void = () => undefined;
      const gate = new Promise<void>((resolve) => (open = resolve));
      server.fault = async (operation) => {
        if (!operation.startsWith('GET') && readers < 2) {
          readers += 1;
          if (readers === 2) open();
          await gate;
        }
        return undefined;
      };
      await Promise.all([post('docker'), post('podman')]);
      server.fault = () => undefined;
      expect(ours()).toHaveLength(1);
      expect(decodeState(ours()[0]!.body)?.sections.map(({ key }) => key)).toEqual(['docker', ...prepared, 'podman']);
      server.comments.length = 0;
    }
  });

  it('does not write twice when a create succeeds and its answer is lost', async () => {
    let first = true;
    server.fault = (operation) => {
      if (!first || !operation.startsWith('POST')) return undefined;
      first = false;
      return { status: 502, message: 'Bad Gateway', afterwards: true };
    };
    await post('docker');
    expect(ours()).toHaveLength(1);
    expect(server.log.filter((line) => line.startsWith('POST'))).toHaveLength(1);
  });

  it('creates again when the first create did not happen', async () => {
    let first = true;
    server.fault = (operation) => {
      if (!first || !operation.startsWith('POST')) return undefined;
      first = false;
      return { status: 503, message: 'Unavailable' };
    };
    await post('docker');
    expect(ours()).toHaveLength(1);
  });

  it('obeys rate limits and repeats reads that fail', async () => {
    const seen: string[] = [];
    server.fault = (operation) => {
      seen.push(operation);
      if (seen.length === 2) return { status: 500, message: 'oops' };
      if (operation.startsWith('POST') && seen.filter((one) => one === operation).length === 1) {
        return { status: 403, message: 'You have exceeded a secondary rate limit', headers: { 'retry-after': '1' } };
      }
      return undefined;
    };
    await post('docker');
    expect(ours()).toHaveLength(1);
    expect(lines.join('\n')).toContain('GitHub asks to wait');
  });

  it('leaves a forged marker alone', async () => {
    const forged = server.addComment(7, 'mallory', `${commentMarker('default')}\nall is well`);
    await post('docker');
    expect(forged.body).toContain('all is well');
    expect(ours()).toHaveLength(2);
  });

  it('says what is wrong, with advice and without the token', async () => {
    const cases = [
      [401, 'Bad credentials', 'GH_UNAUTHORIZED'],
      [403, 'Resource not accessible by integration', 'GH_FORBIDDEN'],
      [404, 'Not Found', 'GH_NOT_FOUND'],
      [410, 'Gone', 'GH_GONE'],
      [422, 'Validation Failed', 'GH_INVALID'],
    ] as const;
    for (const [status, message, code] of cases) {
      server.fault = (operation) => (operation.startsWith('POST') ? { status, message } : undefined);
      const failure = await post('docker').catch((error: unknown) => error);
      expect(failure).toMatchObject({ code });
      expect(JSON.stringify(failure) + String(failure)).not.toContain('token-');
    }
    expect(lines.join('\n')).not.toContain('token-');
  });

  it('says that GitHub can not be reached, and ends when it is interrupted', async () => {
    const interrupts = new AbortController();
    server.fault = async () => {
      interrupts.abort(new Error('interrupted'));
      return undefined;
    };
    await expect(post('docker', 'failed', client(BOT, interrupts.signal))).rejects.toThrow('interrupted');
    server.fault = () => undefined;
    const github = createGitHub({
      repository: 'acme/rocket',
      auth: { kind: 'token', token: 'token-x' },
      baseUrl: 'http://127.0.0.1:1',
      isActions: true,
      log,
      signal: new AbortController().signal,
      secondMs: 1,
    });
    await expect(post('docker', 'failed', github)).rejects.toMatchObject({ code: 'GH_UNREACHABLE' });
  });
});
