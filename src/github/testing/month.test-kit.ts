import { openFlakeStore, type FlakeStore } from '../../flake/index.js';
import { createRandom } from '../../flake/statistics/random.js';
import { createLogger } from '../../log.js';
import type { Status } from '../../results/index.js';
import { createGitHub, type GitHub } from '../client/client.js';
import { postComment } from '../comment/act.js';
import { headline } from '../comment/render.js';
import { sectionOf } from '../comment/section.js';
import { decodeState } from '../comment/state.js';
import { readEvidence } from '../evidence/verdicts.js';
import { applyIssueActions } from '../issues/act.js';
import { decideIssues } from '../issues/decide.js';
import { readHealth } from '../issues/health.js';
import { ISSUE_LABEL, readMemory } from '../issues/model.js';
import { runOf } from './runs.test-kit.js';
import { GitHubServer } from './server.test-kit.js';

const DAY_MS = 86_400_000;
const FIRST_DAY_MS = Date.UTC(2026, 9, 1, 8);
const DAYS = 45;
const PUSHES_A_DAY = 6;
const ENVIRONMENTS = ['docker-containerd', 'kvm2-crio'] as const;
const BOT = 'github-actions[bot]';

/** Which share of first attempts fails, by day; the truth that the bot does not know. */
const TESTS: Readonly<Record<string, (day: number) => number>> = {
  ...Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`TestSteady${index + 1}`, () => 0])),
  TestRare: () => 0.01,
  TestFlaky: (day) => (day >= 4 && day < 24 ? 0.2 : 0),
  TestBroken: (day) => (day === 13 || day === 14 ? 1 : 0),
};
/** A registry is away for an hour: everything fails in the runs of that time. */
const OUTAGE_DAY = 20;

/** One thing that happened on a day, for a table. */
export interface MonthLine {
  readonly day: number;
  readonly where: string;
  readonly what: string;
}

export interface Month {
  readonly lines: readonly MonthLine[];
  readonly issues: readonly { readonly title: string; readonly state: string; readonly comments: number }[];
  /** Comments standing at the end, by pull request. */
  readonly comments: ReadonlyMap<number, string>;
  readonly pullRequests: number;
  readonly requests: number;
  readonly violations: readonly string[];
}

/**
 * Six weeks of a project on a GitHub of our own: pushes, pull requests, a flaky test that is mended, a break that is
 * repaired, an outage. The same each time.
 */
export async function simulateMonth(): Promise<Month> {
  await using server = await GitHubServer.start();
  await using store = await openFlakeStore(':memory:');
  const project = new Project(server, store);
  for (let day = 1; day <= DAYS; day += 1) {
    for (let push = 0; push < PUSHES_A_DAY; push += 1) await project.push(day, push);
    await project.pullRequests(day);
    await project.issuesOfTheDay(day);
  }
  return {
    lines: project.lines,
    issues: server.issues.map(({ number, title, state }) => ({
      title,
      state,
      comments: server.comments.filter(({ issue }) => issue === number).length,
    })),
    comments: new Map(
      server.comments.filter(({ issue }) => issue >= 100).map(({ issue, body }) => [issue, titleOf(body)]),
    ),
    pullRequests: project.pullRequestCount,
    requests: server.log.length,
    violations: server.violations,
  };
}

function titleOf(body: string): string {
  const state = decodeState(body);
  return state === undefined ? body : headline(state);
}

class Project {
  readonly lines: MonthLine[] = [];
  pullRequestCount = 0;
  private readonly random = createRandom(7);
  private readonly signal = new AbortController().signal;
  private readonly log = createLogger({ write: () => undefined });
  private commit = 0;
  private nowMs = FIRST_DAY_MS;
  private readonly github: GitHub;

  private readonly server: GitHubServer;
  private readonly store: FlakeStore;

  constructor(server: GitHubServer, store: FlakeStore) {
    this.server = server;
    this.store = store;
    server.now = () => new Date(this.nowMs).toISOString();
    this.github = createGitHub({
      repository: 'acme/rocket',
      auth: { kind: 'token', token: `token-${BOT}` },
      baseUrl: server.url,
      isActions: true,
      log: this.log,
      signal: this.signal,
      secondMs: 1,
    });
  }

  async push(day: number, push: number): Promise<void> {
    this.nowMs = FIRST_DAY_MS + day * DAY_MS + push * 3_600_000;
    const isAway = day === OUTAGE_DAY && push === 2;
    await this.run({ sha: this.nextCommit(), branch: 'main' }, day, isAway ? () => 1 : undefined);
  }

  async pullRequests(day: number): Promise<void> {
    for (const kind of ['harmless', 'other'] as const) {
      const number = 100 + this.pullRequestCount;
      this.pullRequestCount += 1;
      // The second of every fifth day breaks a test and is repaired by its next commit.
      const breaks = kind === 'other' && day % 5 === 0;
      for (const push of breaks ? [1, 2] : [1]) {
        this.nowMs += 600_000;
        const sha = this.nextCommit();
        this.server.pulls.set(number, { sha, state: 'open', author: 'dev', files: ['src/service.ts'] });
        const chance = breaks && push === 1 ? (name: string) => (name === 'TestSteady3' ? 1 : undefined) : undefined;
        const run = await this.run({ sha, branch: `topic-${number}`, pullRequest: number }, day, chance);
        const evidence = await readEvidence(run, this.store, {
          repository: 'acme/rocket',
          sha,
          nowMs: this.nowMs,
          pullRequest: number,
          changedFiles: ['src/service.ts'],
          signal: this.signal,
        });
        const section = sectionOf(run, { key: 'e2e', sha, evidence });
        const actions = await postComment(this.github, {
          pullRequest: number,
          section,
          render: { key: 'default' },
          log: this.log,
          signal: this.signal,
          pause: () => Promise.resolve(),
        });
        for (const action of actions) {
          if (action.type === 'none' || action.type === 'delete') continue;
          this.say(
            day,
            `PR #${number}${breaks ? (push === 1 ? ', breaks TestSteady3' : ', repaired') : ''}`,
            `${action.type}: ${titleOf(action.body)}`,
          );
        }
      }
    }
  }

  async issuesOfTheDay(day: number): Promise<void> {
    this.nowMs = FIRST_DAY_MS + day * DAY_MS + 12 * 3_600_000;
    const issues = await this.github.issues(ISSUE_LABEL);
    const memories = new Map(
      issues.flatMap(({ body, state }) => {
        const memory = readMemory(body);
        return memory === undefined || state === 'closed' ? [] : [[memory.id, memory] as const];
      }),
    );
    const tests = await readHealth(this.store, {
      repository: 'acme/rocket',
      nowMs: this.nowMs,
      memories,
      signal: this.signal,
    });
    const actions = decideIssues({
      repository: 'acme/rocket',
      tests,
      issues,
      author: BOT,
      nowMs: this.nowMs,
      policy: { openAt: 0.05 },
      links: {},
    });
    await applyIssueActions(this.github, actions, { log: this.log, signal: this.signal });
    for (const action of actions) {
      if (action.type === 'update' || action.type === 'none') continue;
      const where = action.type === 'open' ? action.title : (this.server.issues[action.number - 1]?.title ?? '');
      this.say(day, where, `${action.type}: ${action.type === 'open' ? action.why : action.text}`);
    }
  }

  /** Two environments; what fails is tried once more. */
  private async run(
    { sha, branch, pullRequest }: { sha: string; branch: string; pullRequest?: number },
    day: number,
    chanceOf: (name: string) => number | undefined = () => undefined,
  ) {
    const startedAt = new Date(this.nowMs).toISOString();
    const results = Object.fromEntries(
      ENVIRONMENTS.map((environment) => [
        environment,
        Object.fromEntries(
          Object.entries(TESTS).map(([name, rate]): [string, Status[]] => {
            const chance = chanceOf(name) ?? rate(day);
            const draw = (): Status => (this.random() < chance ? 'failed' : 'passed');
            const first = draw();
            return [name, first === 'passed' ? [first] : [first, draw()]];
          }),
        ),
      ]),
    );
    const run = runOf({
      runId: `run-${this.commit}`,
      sha,
      branch,
      startedAt,
      results,
      message: (test) => `${test}: timed out after waiting for the pod to be ready on port ${8000 + this.commit}`,
      ...(pullRequest === undefined ? {} : { pullRequest }),
    });
    await this.store.recordRun(run, {
      repository: 'acme/rocket',
      commit: sha,
      branch,
      startedAtMs: this.nowMs,
      ciRun: `ci-${this.commit}`,
      ...(pullRequest === undefined ? {} : { pullRequest }),
    });
    return run;
  }

  private nextCommit(): string {
    this.commit += 1;
    return this.commit.toString(16).padStart(40, '0');
  }

  private say(day: number, where: string, what: string): void {
    this.lines.push({ day, where, what });
  }
}
