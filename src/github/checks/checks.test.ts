import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createLogger } from '../../log.js';
import { createGitHub } from '../client/client.js';
import { sectionOf } from '../comment/section.js';
import { runOf } from '../testing/runs.test-kit.js';
import { GitHubServer } from '../testing/server.test-kit.js';
import { annotationsOf, decideCheck, publishCheck } from './checks.js';
import { renderStepSummary, renderWorkflowCommands, STEP_SUMMARY_LIMIT_BYTES } from './summary.js';

let server: GitHubServer;
beforeEach(async () => {
  server = await GitHubServer.start();
});
afterEach(async () => {
  expect(server.violations).toEqual([]);
  await server[Symbol.asyncDispose]();
});

const many = runOf({
  results: {
    docker: Object.fromEntries(Array.from({ length: 120 }, (_, n) => [`Test${String(n)}`, 'failed' as const])),
  },
});
const section = sectionOf(many, { key: 'e2e', sha: 'a'.repeat(40), evidence: new Map() });
const github = () =>
  createGitHub({
    repository: 'acme/rocket',
    auth: { kind: 'token', token: 'token-bot' },
    baseUrl: server.url,
    isActions: false,
    log: createLogger({ write: () => undefined }),
    signal: new AbortController().signal,
    secondMs: 1,
  });

describe('the check run', () => {
  it('sends annotations by fifty', async () => {
    const outcome = await publishCheck(github(), decideCheck(many, { name: 'mk-ci', section }));
    expect(outcome).toEqual({ type: 'check', requests: 3 });
    expect(server.checks[0]).toMatchObject({ conclusion: 'failure', annotations: 120, batches: [50, 50, 20] });
  });

  it('is a commit status where the token may make no check', async () => {
    server.fault = (operation) =>
      operation.includes('check-runs')
        ? { status: 403, message: 'You must authenticate via a GitHub App.' }
        : undefined;
    expect(await publishCheck(github(), decideCheck(many, { name: 'mk-ci', section }))).toEqual({ type: 'status' });
    expect(server.statuses[0]).toMatchObject({
      state: 'failure',
      context: 'mk-ci',
      description: '❌ 120 failures: 120 undecided: run again',
    });
  });

  it('annotates only files of the repository', () => {
    const paths = (file: string) =>
      annotationsOf({
        ...many,
        cells: many.cells.map((cell) => ({
          ...cell,
          tests: cell.tests.slice(0, 1).map((test) => ({ ...test, file })),
        })),
      }).map(({ path }) => path);
    expect(paths('./pkg/a_test.go')).toEqual(['pkg/a_test.go']);
    for (const bad of ['/etc/passwd', '../x.go', 'a/../../x', 'C:\\x.go', '']) expect(paths(bad)).toEqual([]);
  });
});

describe('the step summary', () => {
  it('leaves room for what other tools wrote, and is empty when there is none', () => {
    const full = renderStepSummary(section, { writtenBytes: 0 });
    expect(full).toContain('120 failures');
    expect(full).not.toContain('<!--');
    expect(
      Buffer.byteLength(renderStepSummary(section, { writtenBytes: STEP_SUMMARY_LIMIT_BYTES - 5_000 })),
    ).toBeLessThan(5_000);
    expect(renderStepSummary(section, { writtenBytes: STEP_SUMMARY_LIMIT_BYTES })).toBe('');
  });

  it('writes workflow commands that a message can not add to', () => {
    const text = renderWorkflowCommands([
      {
        path: 'a,b:c.go',
        startLine: 3,
        title: 'x::y',
        message: 'one\n::set-env name=PATH::evil\r%0A',
        level: 'failure',
      },
    ]);
    expect(text).toBe('::error file=a%2Cb%3Ac.go,line=3,title=x%3A%3Ay::one%0A::set-env name=PATH::evil%0D%250A\n');
    expect(renderWorkflowCommands(annotationsOf(many)).split('\n')).toHaveLength(11);
  });
});
