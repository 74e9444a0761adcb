import { createHash } from 'node:crypto';

import Handlebars from 'handlebars';

import { STATUSES } from '../results/model.js';
import type { PageAssets } from './page-assets.js';
import type { PageParts } from './report-files.js';
import { formatDuration } from './shared/format.js';
import type { PageData, PageTest } from './shared/page-data.js';
import { visibleText } from './shared/visible.js';
import { PAGE_END, PAGE_TEMPLATE } from './template.js';

/** Failures in the part that needs no script; the rest is counted. */
const STATIC_FAILURES = 200;
const STATIC_TEXT_CHARACTERS = 2_000;

const VERDICT_WORDS: Readonly<Record<PageData['verdict']['word'], string>> = {
  passed: 'Passed',
  flaky: 'Passed, flaky',
  failed: 'Failed',
  infrastructure: 'Infrastructure failed',
  unfinished: 'Unfinished',
  empty: 'Nothing ran',
};

const render = Handlebars.create().compile(PAGE_TEMPLATE, { strict: false });

/** The page as text, in two parts: blocks of logs may stand between them. */
export function renderPage(data: PageData, assets: PageAssets): PageParts {
  const before = render({
    style: assets.style,
    script: assets.script,
    json: scriptJson(data),
    contentPolicy: contentPolicy(assets, data.storage.kind === 'folder'),
    run: data.run,
    verdict: data.verdict,
    verdictWord: VERDICT_WORDS[data.verdict.word],
    mark: data.verdict.word === 'passed' || data.verdict.word === 'flaky' ? '✓' : '✗',
    title: visibleText(data.run.title),
    facts: facts(data),
    counts: counts(data),
    errors: data.errors,
    failures: data.failures.slice(0, STATIC_FAILURES).map((index) => staticFailure(data, index)),
    more:
      data.failures.length > STATIC_FAILURES
        ? `${String(data.failures.length - STATIC_FAILURES)} more did not pass.`
        : undefined,
  });
  return { before, after: PAGE_END };
}

/**
 * JSON that can stand inside a `<script>` element: no `<`, so neither `</script` nor `<!--` can occur, and no line
 * separators that older parsers end a statement at.
 */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll('<', '\\u003c')
    .replaceAll('\u2028', '\\u2028')
    .replaceAll('\u2029', '\\u2029');
}

/**
 * Nothing but what is in the page, by hash; with logs beside it also scripts from its own place. `file:` is needed
 * because a page from disk has no origin that `'self'` could mean.
 */
function contentPolicy(assets: PageAssets, withFolder: boolean): string {
  const beside = withFolder ? " 'self' file:" : '';
  return [
    "default-src 'none'",
    `script-src ${sha256(assets.script)}${beside}`,
    `style-src ${sha256(assets.style)}`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types mk-ci-blocks',
  ].join('; ');
}

function sha256(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

function facts(data: PageData): string[] {
  const { run } = data;
  return [
    ...(run.links.length === 0 && run.source.commit !== undefined ? [run.source.commit.slice(0, 10)] : []),
    ...(run.source.branch === undefined ? [] : [visibleText(run.source.branch)]),
    ...(Date.parse(run.startedAt) > 0 ? [`${run.startedAt.slice(0, 16).replace('T', ' ')} UTC`] : []),
    ...(run.durationMs === undefined ? [] : [formatDuration(run.durationMs)]),
    ...(run.complete ? [] : ['did not end']),
  ];
}

function counts(data: PageData): { status: string; label: string; count: string }[] {
  return [...STATUSES, 'flaky' as const]
    .filter((status) => data.counts[status] > 0)
    .map((status) => ({ status, label: status, count: data.counts[status].toLocaleString('en-US') }));
}

function staticFailure(data: PageData, index: number): object {
  const test: PageTest | undefined = data.tests[index];
  if (test === undefined) return {};
  const attempt = test.attempts?.findLast(({ message }) => message !== undefined);
  const cell = data.cells[test.cell];
  return {
    id: test.id,
    cell: test.cell,
    status: test.flaky === true && test.status === 'passed' ? 'flaky' : test.status,
    name: visibleText(test.name),
    place: visibleText([data.packages[test.pkg], cell?.environmentName, test.where].filter(Boolean).join(' · ')),
    message: attempt?.message === undefined ? undefined : visibleText(attempt.message),
    text: attempt?.text === undefined ? undefined : visibleLines(attempt.text.slice(0, STATIC_TEXT_CHARACTERS)),
  };
}

function visibleLines(text: string): string {
  return text.split('\n').map(visibleText).join('\n');
}
