import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { VerdictKind } from '../../flake/index.js';
import { seriesKey, type FailureEvidence } from '../failures.js';
import { runOf, type RunSpec } from '../testing/runs.test-kit.js';
import { decideComment, type ExistingComment } from './decide.js';
import { COMMENT_LIMIT_BYTES, renderComment } from './render.js';
import { sectionOf } from './section.js';
import { commentMarker, decodeState, encodeState, holdsSection, mergeSection, type CommentSection } from './state.js';

const SHA = 'a'.repeat(40);
const pkg = 'example.com/rocket';
const render = { key: 'default', repositoryUrl: 'https://github.com/acme/rocket' };

function section(spec: RunSpec, key = 'e2e', verdicts: Readonly<Record<string, VerdictKind>> = {}): CommentSection {
  const evidence = new Map<string, FailureEvidence>();
  for (const environment of Object.keys(spec.results)) {
    for (const [name, kind] of Object.entries(verdicts)) {
      evidence.set(seriesKey({ package: pkg, name }, environment), {
        verdict: { kind, causedProbability: 0.5, odds: 1, evidence: ['the base passes'] },
        elsewhere: { failed: 3, attempts: 40 },
        here: { failed: 2, passed: 0 },
        lastSeen: { day: '2026-11-19', commit: 'b'.repeat(40) },
      });
    }
  }
  return sectionOf(runOf(spec), { key, sha: spec.sha ?? SHA, evidence });
}

const decide = (own: CommentSection, comments: readonly ExistingComment[] = [], headSha = SHA) =>
  decideComment({
    pullRequest: { number: 7, headSha, isOpen: true },
    section: own,
    comments,
    author: 'github-actions[bot]',
    render,
  });

const bodyOf = (actions: ReturnType<typeof decide>): string => {
  const [action] = actions;
  if (action?.type !== 'create' && action?.type !== 'update') throw new Error(`no text: ${JSON.stringify(actions)}`);
  return action.body;
};

const red = section({ results: { docker: { TestA: 'failed', TestB: 'failed', TestC: 'passed' } } }, 'e2e', {
  TestA: 'caused',
  TestB: 'known-flake',
});
const green = section({
  runId: 'run-2',
  startedAt: '2026-11-21T11:00:00.000Z',
  results: { docker: { TestA: 'passed' } },
});

describe('the comment', () => {
  it('says the verdict first, then what this change caused, and folds what is known', () => {
    const body = bodyOf(decide(red));
    expect(body.split('\n')[2]).toBe('### ❌ 2 failures: 1 caused by this change, 1 known flake');
    expect(body).toContain('elsewhere 3 of 40; last seen 2026-11-19');
    expect(body.indexOf('TestA')).toBeLessThan(body.indexOf('<details>'));
    expect(body.indexOf('<code>TestB')).toBeGreaterThan(body.indexOf('<summary>🟡 1 known flake'));
  });

  it('is not written while all is green, turns green when fixed, and is left alone when it says so already', () => {
    expect(decide(green)).toEqual([{ type: 'none', reason: 'all is green' }]);
    const standing = { id: 5, author: 'github-actions[bot]', body: bodyOf(decide(red)) };
    const fixed = decide(green, [standing]);
    expect(bodyOf(fixed)).toContain('### ✅ All 1 test passed');
    expect(decide(green, [{ ...standing, body: bodyOf(fixed) }])[0]?.type).toBe('none');
    // GitHub may strip white space at the end.
    expect(decide(red, [{ ...standing, body: standing.body.trimEnd() }])[0]?.type).toBe('none');
  });

  it('takes no notice of a marker that someone else wrote, or that does not begin the comment', () => {
    const body = bodyOf(decide(red));
    expect(decide(red, [{ id: 1, author: 'mallory', body }])[0]?.type).toBe('create');
    expect(decide(red, [{ id: 1, author: 'github-actions[bot]', body: `> ${body}` }])[0]?.type).toBe('create');
    expect(decide(red, [{ id: 1, author: 'GitHub-Actions', body: `${commentMarker('other')}\n` }])[0]?.type).toBe(
      'create',
    );
  });

  it('starts afresh where the hidden data was edited or cut out', () => {
    const body = bodyOf(decide(red));
    for (const broken of [
      body.replace(/mk-ci:data ./, 'mk-ci:data !'),
      body.replace(/<!-- mk-ci:data.*-->/, ''),
      commentMarker('default'),
    ]) {
      const actions = decide(red, [{ id: 3, author: 'github-actions[bot]', body: broken }]);
      expect(bodyOf(actions)).toBe(body);
      expect(actions[0]).toMatchObject({ type: 'update', id: 3 });
    }
  });

  it('folds duplicates into the oldest and removes them', () => {
    const other = section({ results: { podman: { TestX: 'failed' } } }, 'podman');
    const actions = decide(red, [
      { id: 9, author: 'github-actions[bot]', body: bodyOf(decide(other)) },
      { id: 4, author: 'github-actions[bot]', body: bodyOf(decide(red)) },
    ]);
    expect(actions.map(({ type }) => type)).toEqual(['update', 'delete']);
    expect(actions[0]).toMatchObject({ id: 4 });
    expect(bodyOf(actions)).toContain('TestX');
  });

  it('is not written for a commit that is no longer the head, and drops sections of older commits', () => {
    expect(decide(red, [], 'b'.repeat(40))[0]).toMatchObject({ type: 'none' });
    const newer = section({ sha: 'b'.repeat(40), results: { docker: { TestA: 'passed' } } }, 'unit');
    const actions = decide(
      newer,
      [{ id: 4, author: 'github-actions[bot]', body: bodyOf(decide(red)) }],
      'b'.repeat(40),
    );
    expect(bodyOf(actions)).not.toContain('TestB');
  });

  it('names environments without results, and is not green without them', () => {
    const run = runOf({ results: { docker: { TestA: 'passed' } } });
    const own = sectionOf(run, { key: 'e2e', sha: SHA, evidence: new Map(), expectedEnvironments: ['docker', 'kvm2'] });
    expect(bodyOf(decide(own))).toContain('**No results from** <code>kvm2</code>');
  });

  it('keeps what every job said, whatever the order and however often', () => {
    const jobs = ['a', 'b', 'c'].map((key) => section({ results: { [key]: { TestA: 'failed' } } }, key));
    fc.assert(
      fc.property(fc.shuffledSubarray([...jobs, ...jobs], { minLength: 6 }), (order) => {
        const state = order.reduce(mergeSection, mergeSection(undefined, order[0]!));
        expect(state.sections.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
        expect(decodeState(encodeState(state))).toEqual(state);
        expect(holdsSection(state, jobs[1]!)).toBe(true);
      }),
    );
  });

  it('keeps the newer run of one job', () => {
    const state = mergeSection(mergeSection(undefined, green), red);
    expect(state.sections.map(({ runId }) => runId)).toEqual(['run-2']);
    expect(holdsSection(state, red)).toBe(true);
  });

  it('is well-formed and mentions nobody, whatever tests are called and say', () => {
    const nasty = fc
      .array(
        fc.constantFrom(
          '@octocat',
          '|',
          '`',
          '</details>',
          '</code>',
          '-->',
          '<!-- mk-ci:data x -->',
          '#01',
          'a=b',
          '\n',
          '```',
          '🎉',
          '<script>',
          'fixes #1',
          'Test',
          '&lt;',
        ),
        { minLength: 1, maxLength: 6 },
      )
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(nasty, nasty, nasty, (test, environment, message) => {
        const run = runOf({
          results: { [environment]: { [test]: 'failed', [`${test}2`]: ['failed', 'passed'] } },
          message: () => message,
        });
        const own = sectionOf(run, { key: message, sha: SHA, evidence: new Map() });
        const body = renderComment(mergeSection(undefined, own), render);
        const outside = body.replaceAll(/```+text\n[\s\S]*?\n```+/g, '').replace(/<!-- mk-ci:data [^ ]* -->/, '');
        expect(outside.match(/<details>/g)?.length).toBe(outside.match(/<\/details>/g)?.length);
        expect(outside.match(/<code>/g)?.length).toBe(outside.match(/<\/code>/g)?.length);
        expect(outside).not.toMatch(/@|<script|fixes #/);
        expect(outside.match(/<!--/g)).toHaveLength(1);
        for (const row of body.split('\n').filter((line) => line.startsWith('| 🟠')))
          expect(row.split('|')).toHaveLength(6);
      }),
    );
  });

  it('stays within its limit for 5,000 failures in 20 environments, the same each time, with everything counted', () => {
    const tests = Object.fromEntries(
      Array.from({ length: 250 }, (_, index) => [
        `TestFunctional/parallel/Case${index}/with_a_long|name`,
        'failed' as const,
      ]),
    );
    const results = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [`docker-containerd-v1.${index}`, tests]),
    );
    const build = () =>
      bodyOf(
        decide(
          section({ results, message: (test, environment) => `${test} said no in ${environment}: @all <b>`.repeat(4) }),
        ),
      );
    const body = build();
    expect(Buffer.byteLength(body)).toBeLessThanOrEqual(COMMENT_LIMIT_BYTES);
    expect(body).toContain('5,000 failures: 5,000 undecided');
    expect(body).toBe(build());
  });

  it('fits a hundred jobs with long names, too', () => {
    const sections = Array.from({ length: 100 }, (_, index) =>
      section(
        { results: { [`env-${index}-${'x'.repeat(80)}`]: { [`Test${'|'.repeat(300)}${index}`]: 'failed' } } },
        `job ${index} ${'@'.repeat(80)}`,
      ),
    );
    const body = renderComment(sections.reduce(mergeSection, { v: 1, sections: [] as CommentSection[] }), render);
    expect(Buffer.byteLength(body)).toBeLessThanOrEqual(COMMENT_LIMIT_BYTES);
    expect(body).toContain('100 failures');
  });
});
