import type { OwnedTest } from '../../flake/index.js';
import { testKey } from '../../results/index.js';
import type { IssueFacts } from '../client/client.js';
import { safeTitle } from '../text/safe.js';
import {
  BROKEN_LABEL,
  FLIP_FLOP_LABEL,
  ISSUE_LABEL,
  issueId,
  readMemory,
  writeBlock,
  type IssueMemory,
  type TestHealth,
} from './model.js';
import { renderIssueBlock, renderIssueComment, type IssueLinks } from './render.js';

export interface IssuePolicy {
  /** Lower bound of the rate at which an issue is opened, 0…1. */
  readonly openAt: number;
  /** @default 5 */
  readonly mostNew?: number;
  /** @default 7 */
  readonly commentDays?: number;
  /** Who owns a test, as CODEOWNERS names them: `@login` and `@org/team`, space between several. */
  readonly ownerOf?: (test: OwnedTest) => string | undefined;
  /** More labels for new issues. */
  readonly labels?: readonly string[];
}

export interface IssueInput {
  readonly repository: string;
  readonly tests: readonly TestHealth[];
  /** All with the bot's label, open and closed. */
  readonly issues: readonly IssueFacts[];
  /** Our own login. */
  readonly author: string;
  readonly nowMs: number;
  readonly policy: IssuePolicy;
  readonly links: IssueLinks;
}

export type IssueAction =
  | {
      readonly type: 'open';
      readonly title: string;
      readonly body: string;
      readonly labels: readonly string[];
      readonly assignees: readonly string[];
      readonly why: string;
    }
  | {
      readonly type: 'update';
      readonly number: number;
      readonly body: string;
      readonly labels?: readonly string[];
      readonly why: string;
    }
  | { readonly type: 'comment'; readonly number: number; readonly text: string; readonly why: string }
  | {
      readonly type: 'close';
      readonly number: number;
      readonly body: string;
      readonly text: string;
      readonly reason: 'completed' | 'not_planned';
      readonly why: string;
    }
  | {
      readonly type: 'reopen';
      readonly number: number;
      readonly body: string;
      readonly text: string;
      readonly labels: readonly string[];
      readonly why: string;
    }
  | { readonly type: 'none'; readonly title: string; readonly why: string };

const DAY_MS = 86_400_000;
const REOPEN_DAYS = 60;
const HUMAN_CLOSE_DAYS = 14;
/** On as many commits it must fail again before it is spoken of again. */
const FAILURES_AFTER_CLOSE = 2;
const MOST_REOPENED = 3;
const UMBRELLA_TESTS = 3;
const GONE_DAYS = 30;

/** What an issue is about: one test, or one failure that many tests share. */
export interface Subject {
  readonly id: string;
  readonly title: string;
  readonly tests: readonly TestHealth[];
  readonly signature?: string;
}

/**
 * What to do about issues. Pure; the same facts give the same actions, in a fixed order, and acting on them and deciding
 * again gives none that writes.
 */
export function decideIssues(input: IssueInput): IssueAction[] {
  const known = knownIssues(input);
  const actions: IssueAction[] = known.duplicates.map(({ issue, of }) => ({
    type: 'close',
    number: issue.number,
    body: issue.body,
    text: `Duplicate of #${of}.`,
    reason: 'not_planned',
    why: `two issues about one test; #${of} is older`,
  }));
  const wanted: { readonly subject: Subject; readonly rank: number }[] = [];
  const seen = new Set<string>();
  for (const subject of subjectsOf(input, known.byId)) {
    seen.add(subject.id);
    const issue = known.byId.get(subject.id);
    if (issue === undefined) {
      if (needsIssue(subject, input.policy)) wanted.push({ subject, rank: severity(subject) });
    } else actions.push(...decideKnown(subject, issue, input, wanted));
  }
  // Tests that did not run in the window: deleted or renamed.
  for (const [id, issue] of known.byId) {
    if (!seen.has(id) && issue.state === 'open') actions.push(...decideGone(issue, input));
  }
  const most = input.policy.mostNew ?? 5;
  wanted.sort((a, b) => b.rank - a.rank || (a.subject.title < b.subject.title ? -1 : 1));
  for (const [index, { subject }] of wanted.entries()) {
    actions.push(
      index < most
        ? openAction(subject, known.byId.get(subject.id), input)
        : { type: 'none', title: subject.title, why: `${most} new issues a run are enough` },
    );
  }
  return actions;
}

function knownIssues({ issues, author }: IssueInput) {
  const byId = new Map<string, IssueFacts>();
  const duplicates: { readonly issue: IssueFacts; readonly of: number }[] = [];
  const plain = (login: string) => login.toLowerCase().replace(/\[bot\]$/, '');
  for (const issue of [...issues].sort((a, b) => a.number - b.number)) {
    const memory = readMemory(issue.body);
    if (memory === undefined || plain(issue.author) !== plain(author)) continue;
    const old = byId.get(memory.id);
    // An old issue that is closed for good gives way to the one that followed it.
    if (old === undefined || (old.state === 'closed' && issue.state === 'open')) byId.set(memory.id, issue);
    else if (issue.state === 'open') duplicates.push({ issue, of: old.number });
    else if (old.state === 'closed') byId.set(memory.id, issue);
  }
  return { byId, duplicates };
}

/** Tests one by one, those that share a failure together where none has an issue of its own. */
function subjectsOf({ repository, tests, policy }: IssueInput, known: ReadonlyMap<string, IssueFacts>): Subject[] {
  const single = tests.map((test): Subject => ({
    id: issueId(repository, test.id),
    title: `Frequent test failures of \`${safeTitle(test.id.name).replaceAll('`', "'")}\``,
    tests: [test],
  }));
  const groups = new Map<string, Subject[]>();
  for (const subject of single) {
    const key = subject.tests[0]?.signature?.key;
    if (key === undefined || known.has(subject.id)) continue;
    const umbrella = known.has(issueId(repository, { signature: key }));
    if (umbrella || needsIssue(subject, policy)) groups.set(key, [...(groups.get(key) ?? []), subject]);
  }
  const umbrellas: Subject[] = [];
  const covered = new Set<string>();
  for (const [key, members] of groups) {
    const id = issueId(repository, { signature: key });
    if (members.length < UMBRELLA_TESTS && !known.has(id)) continue;
    const text = members[0]?.tests[0]?.signature?.text ?? key;
    for (const member of members) covered.add(member.id);
    umbrellas.push({
      id,
      title: `Many tests fail with \`${safeTitle(text.split('\n')[0] ?? '', 120).replaceAll('`', "'")}\``,
      tests: members.flatMap((member) => member.tests).sort((a, b) => (testKey(a.id) < testKey(b.id) ? -1 : 1)),
      signature: text,
    });
  }
  return [...umbrellas, ...single.filter(({ id }) => !covered.has(id))].sort((a, b) => (a.id < b.id ? -1 : 1));
}

const health = (subject: Subject) => subject.tests.flatMap((test) => test.environments);

function stateOf(subject: Subject): IssueMemory['state'] {
  const states = new Set(health(subject).map(({ state }) => state));
  return (['broken', 'flaky', 'suspected'] as const).find((state) => states.has(state)) ?? 'healthy';
}

function needsIssue(subject: Subject, { openAt }: IssuePolicy): boolean {
  return health(subject).some(
    ({ state, low, mixedCommits }) => state === 'broken' || (state === 'flaky' && low >= openAt && mixedCommits >= 2),
  );
}

function severity(subject: Subject): number {
  return Math.max(...health(subject).map(({ state, low }) => (state === 'broken' ? 1 : 0) + low));
}

function worstRate(subject: Subject): number {
  return Math.max(0, ...health(subject).map(({ failed, attempts }) => (attempts === 0 ? 0 : failed / attempts)));
}

function decideKnown(
  subject: Subject,
  issue: IssueFacts,
  input: IssueInput,
  wanted: { subject: Subject; rank: number }[],
): IssueAction[] {
  const { nowMs, policy } = input;
  const memory = readMemory(issue.body);
  if (memory === undefined) return []; // knownIssues keeps only those that have one
  const state = stateOf(subject);
  const needs = needsIssue(subject, policy);
  if (issue.locked) return [{ type: 'none', title: issue.title, why: 'the issue is locked' }];
  if (issue.state === 'closed') {
    if (!needs) return [];
    const closedAtMs = issue.closedAt === undefined ? 0 : Date.parse(issue.closedAt);
    const closedByBot = memory.left === 'closed';
    const since = health(subject).flatMap(({ failures }) => failures.filter(({ atMs }) => atMs > closedAtMs));
    const commits = new Set(since.map(({ commit, atMs }) => commit ?? String(atMs)));
    // The window still holds the failures for which the issue was open: only new ones count.
    if (closedByBot && commits.size < FAILURES_AFTER_CLOSE) return [];
    if (!closedByBot) {
      if (nowMs - closedAtMs < HUMAN_CLOSE_DAYS * DAY_MS || commits.size < FAILURES_AFTER_CLOSE) {
        return [
          {
            type: 'none',
            title: issue.title,
            why: 'closed by a person: held for 14 days and until two more commits fail',
          },
        ];
      }
    }
    if (nowMs - closedAtMs > REOPEN_DAYS * DAY_MS) {
      wanted.push({ subject, rank: severity(subject) });
      return [];
    }
    const next: IssueMemory = {
      ...memory,
      left: 'open',
      state,
      rate: worstRate(subject),
      changedAt: nowMs,
      commentedAt: nowMs,
      reopened: memory.reopened + 1,
    };
    const labels = [...labelsOf(issue.labels, state), ...(next.reopened >= MOST_REOPENED ? [FLIP_FLOP_LABEL] : [])];
    return [
      {
        type: 'reopen',
        number: issue.number,
        body: bodyOf(issue.body, subject, next, input),
        text: renderIssueComment('again', subject, input.links),
        labels: [...new Set(labels)],
        why: `fails again, ${state}`,
      },
    ];
  }
  // A person opened it again: it stays so for two weeks.
  const heldOpen = memory.left === 'closed' && nowMs - memory.changedAt < HUMAN_CLOSE_DAYS * DAY_MS;
  if (state === 'healthy' && !heldOpen) {
    if (memory.reopened >= MOST_REOPENED) {
      return updateAction(
        subject,
        issue,
        { ...memory, state },
        input,
        'healthy, but it was opened again too often to be closed by a bot',
        [FLIP_FLOP_LABEL],
      );
    }
    const next: IssueMemory = { ...memory, left: 'closed', state, changedAt: nowMs, commentedAt: nowMs };
    return [
      {
        type: 'close',
        number: issue.number,
        body: bodyOf(issue.body, subject, next, input),
        text: renderIssueComment('healthy', subject, input.links),
        reason: 'completed',
        why: 'healthy again in every environment',
      },
    ];
  }
  const hasChanged = memory.state !== state && (state === 'broken' || memory.state === 'broken');
  const lastFailure = Math.max(0, ...health(subject).flatMap(({ failures }) => failures.map(({ atMs }) => atMs)));
  const isDue = nowMs - memory.commentedAt >= (policy.commentDays ?? 7) * DAY_MS && lastFailure > memory.commentedAt;
  const speaks = hasChanged || isDue;
  const next: IssueMemory = {
    ...memory,
    state,
    ...(hasChanged ? { changedAt: nowMs } : {}),
    ...(speaks ? { commentedAt: nowMs } : {}),
    // A test that gets worse has to get better than that.
    rate: Math.max(memory.rate, worstRate(subject)),
  };
  return [
    ...updateAction(subject, issue, next, input, hasChanged ? `now ${state}` : 'new numbers', []),
    ...(speaks
      ? [
          {
            type: 'comment' as const,
            number: issue.number,
            text: renderIssueComment(
              hasChanged ? (state === 'broken' ? 'broken' : 'passes') : 'weekly',
              subject,
              input.links,
            ),
            why: hasChanged ? `now ${state}` : 'still failing a week later',
          },
        ]
      : []),
  ];
}

function updateAction(
  subject: Subject,
  issue: IssueFacts,
  memory: IssueMemory,
  input: IssueInput,
  why: string,
  more: readonly string[],
): IssueAction[] {
  const body = bodyOf(issue.body, subject, memory, input);
  const labels = [...new Set([...labelsOf(issue.labels, memory.state), ...more])];
  const sameLabels = labels.length === issue.labels.length && labels.every((label) => issue.labels.includes(label));
  if (body.trimEnd() === issue.body.trimEnd() && sameLabels) return [];
  return [{ type: 'update', number: issue.number, body, ...(sameLabels ? {} : { labels }), why }];
}

function decideGone(issue: IssueFacts, { nowMs }: IssueInput): IssueAction[] {
  const memory = readMemory(issue.body);
  if (memory === undefined || issue.locked || nowMs - memory.commentedAt < GONE_DAYS * DAY_MS) return [];
  const next: IssueMemory = { ...memory, left: 'closed', state: 'healthy', changedAt: nowMs, commentedAt: nowMs };
  return [
    {
      type: 'close',
      number: issue.number,
      body: issue.body.replace(/<!-- mk-ci:flake \{[^\n]*?\} -->/, `<!-- mk-ci:flake ${JSON.stringify(next)} -->`),
      text: 'The test did not run for 30 days: it was removed or renamed.',
      reason: 'not_planned',
      why: 'the test is gone',
    },
  ];
}

function openAction(subject: Subject, old: IssueFacts | undefined, input: IssueInput): IssueAction {
  const { nowMs, policy } = input;
  const state = stateOf(subject);
  const memory: IssueMemory = {
    v: 1,
    id: subject.id,
    left: 'open',
    rate: worstRate(subject),
    state,
    changedAt: nowMs,
    commentedAt: nowMs,
    reopened: 0,
    ...(old === undefined ? {} : { follows: old.number }),
  };
  return {
    type: 'open',
    title: subject.title,
    body: bodyOf('', subject, memory, input),
    labels: [...new Set([ISSUE_LABEL, ...(policy.labels ?? []), ...(state === 'broken' ? [BROKEN_LABEL] : [])])],
    // GitHub assigns people only, and ten at most; teams are mentioned.
    assignees: ownersOf(subject, input)
      .filter((owner) => !owner.includes('/'))
      .slice(0, 10),
    why: state,
  };
}

function bodyOf(body: string, subject: Subject, memory: IssueMemory, input: IssueInput): string {
  const teams = ownersOf(subject, input).filter((owner) => owner.includes('/'));
  const block = renderIssueBlock(subject, input.links, {
    ...(memory.follows === undefined ? {} : { follows: memory.follows }),
    teams,
  });
  return writeBlock(body, block, memory);
}

function labelsOf(labels: readonly string[], state: IssueMemory['state']): string[] {
  return [...labels.filter((label) => label !== BROKEN_LABEL), ...(state === 'broken' ? [BROKEN_LABEL] : [])];
}

/** Logins and `org/team`, without `@`; mail addresses are nobody on GitHub. */
function ownersOf({ tests: [first] }: Subject, { repository, policy }: IssueInput): string[] {
  if (first === undefined) return [];
  return (policy.ownerOf?.({ repository, package: first.id.package, test: first.id.name }) ?? '')
    .split(/\s+/)
    .map((owner) => owner.replace(/^@/, ''))
    .filter((owner) => /^[A-Za-z0-9][\w.-]*(?:\/[\w.-]+)?$/.test(owner));
}
