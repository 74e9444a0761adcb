import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { RunResult, TestResult } from '../model.js';
import { arbitraryRun, hostileText } from './arbitrary-run.js';
import { renderMarkdown } from './markdown.js';
import { markdownBlock, markdownLine } from './markdown-text.js';

function runOf(tests: readonly TestResult[], rest: Partial<RunResult> = {}): RunResult {
  return {
    runId: 'r1',
    toolVersion: '1.2.3',
    startedAt: '2026-11-21T10:00:00.000Z',
    endedAt: '2026-11-21T10:01:05.000Z',
    source: { commit: '0123456789abcdef', pullRequest: 12 },
    environments: [],
    cells: [
      {
        id: 'local.e2e',
        environment: 'local',
        suite: 'e2e',
        attempts: [],
        tests,
        packages: [],
        repairs: [],
        status: 'failed',
      },
    ],
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
    ...rest,
  };
}

function failed(name: string, text: string): TestResult {
  const failure = { message: 'expected 1, got 2', text };
  return {
    id: { package: 'p', name },
    attempts: [{ attempt: 1, status: 'failed', cellAttempt: 1, failure }],
    status: 'failed',
    flaky: false,
  };
}

describe('Markdown summary', () => {
  it('says verdict, counts and reasons, failures before everything else', () => {
    const flaky: TestResult = {
      id: { package: 'p', name: 'TestFlaky' },
      attempts: [
        { attempt: 1, status: 'failed', cellAttempt: 1 },
        { attempt: 2, status: 'passed', cellAttempt: 2, durationMs: 2500 },
      ],
      status: 'passed',
      flaky: true,
    };
    const text = renderMarkdown(runOf([flaky, failed('TestBad', 'a.go:7: expected 1, got 2')]));
    expect(text).toMatch(/^## ❌ Failed\n\n2 tests: 1 passed, 1 failed, 1 flaky in 1 min 5 s · pull request 12/);
    expect(text).toContain('<details><summary>❌ <code>p TestBad</code> · local.e2e: expected 1, got 2</summary>');
    expect(text).toContain('```text\na.go:7: expected 1, got 2\n```');
    expect(text.indexOf('TestBad')).toBeLessThan(text.indexOf('TestFlaky'));
    expect(text).toContain('❌✅');
  });

  it('puts infrastructure first and never calls such a run passed', () => {
    const text = renderMarkdown(
      runOf([], { errors: [{ code: 'DRV_FAILED', message: 'no machine', infrastructure: true }] }),
    );
    expect(text).toMatch(/^## 💥 Infrastructure failed/);
    expect(text).toContain('no machine');
  });

  it('says when nothing ran and when a run did not finish', () => {
    const idle = runOf([]);
    const cells = [{ ...idle.cells[0]!, status: 'passed' as const }];
    expect(renderMarkdown({ ...idle, cells })).toMatch(/^## ⚠️ No test ran/);
    expect(renderMarkdown({ ...idle, cells, complete: false })).toMatch(/^## ⏳ Did not finish/);
  });

  it('stays within its limit by telling less, and says how much it left out', () => {
    const tests = Array.from({ length: 3000 }, (_, index) =>
      failed(`Test${index}`, 'line of a long log\n'.repeat(500)),
    );
    const text = renderMarkdown(runOf(tests));
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(1024 * 1024);
    expect(text).toMatch(/… and \d+ more failures, see the report\./);
    expect(text).toContain('3000 tests');
    const small = renderMarkdown(runOf(tests), { limitBytes: 2000 });
    expect(Buffer.byteLength(small)).toBeLessThanOrEqual(2000);
    expect(small).toContain('### 3000 failures');
  });

  it('keeps any run within the limit', () => {
    fc.assert(
      fc.property(arbitraryRun(), fc.integer({ min: 3000, max: 20_000 }), (run, limitBytes) => {
        expect(Buffer.byteLength(renderMarkdown(run, { limitBytes }))).toBeLessThanOrEqual(limitBytes);
      }),
      { numRuns: 100 },
    );
  });

  it('lets no text form markup, mention anybody, link anything or end a cell', () => {
    fc.assert(
      fc.property(fc.oneof(hostileText, fc.string()), (text) => {
        const line = markdownLine(text);
        expect(line).not.toMatch(/[<>|`*[\]\n\u202e]/);
        expect(line).not.toMatch(/@\w/);
        expect(line).not.toMatch(/&#35;\d/);
        expect(line).not.toContain('://');
      }),
    );
    expect(markdownLine('see #12 @team | <b>')).toBe('see &#35;\u200d12 @\u200dteam &#124; &lt;b&gt;');
  });

  it('fences a block with more backticks than it holds', () => {
    expect(markdownBlock('a ````` b')).toBe('``````text\na ````` b\n``````\n');
  });
});
