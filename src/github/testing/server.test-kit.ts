import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

import { z } from 'zod';

import { OpenApi } from './openapi.test-kit.js';

export interface ServerIssue {
  number: number;
  title: string;
  body: string;
  state: 'open' | 'closed';
  stateReason: 'completed' | 'not_planned' | 'reopened' | 'duplicate' | null;
  labels: string[];
  assignees: string[];
  author: string;
  closedAt: string | null;
  locked: boolean;
}

export interface ServerComment {
  id: number;
  issue: number;
  author: string;
  body: string;
}

/** What a test makes the server do in place of answering. */
export interface Fault {
  readonly status: number;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Does what was asked and answers with the fault all the same. */
  readonly afterwards?: boolean;
}

type Reply = { readonly status: number; readonly body?: unknown; readonly headers?: Record<string, string> };
const json = z.record(z.string(), z.unknown());
/** Compiling GitHub's schemas takes seconds: once for all servers. */
const OPEN_API = new OpenApi();

/**
 * A GitHub for tests: keeps state, pages, fails on request, and checks every request and every answer of its own against
 * GitHub's OpenAPI description. Tokens are `token-LOGIN`.
 */
export class GitHubServer implements AsyncDisposable {
  readonly comments: ServerComment[] = [];
  readonly issues: ServerIssue[] = [];
  readonly checks: { id: number; name: string; conclusion: string; annotations: number; batches: number[] }[] = [];
  readonly statuses: { sha: string; state: string; context: string; description: string }[] = [];
  readonly reactions: { comment: number; content: string; login: string }[] = [];
  readonly pulls = new Map<
    number,
    { sha: string; state: 'open' | 'closed'; author: string; files: string[]; labels?: string[]; head?: string }
  >();
  readonly permissions = new Map<string, string>();
  readonly workflowRuns: { id: number; sha: string; status: string; conclusion: string | null; createdAt?: string }[] =
    [];
  /** Files of the default branch by path, and of other branches by `branch:path`. */
  readonly files = new Map<string, string>();
  readonly branches = new Map<string, string>([['main', '0'.repeat(40)]]);
  readonly proposed: { head: string; base: string; title: string; body: string }[] = [];
  readonly reruns: number[] = [];
  readonly approved: number[] = [];
  /** `METHOD operation path` of each request. */
  readonly log: string[] = [];
  /** What was not as GitHub describes it; a test asserts that it is empty. */
  readonly violations: string[] = [];
  /** Looked at before every request; `undefined` answers as usual. May wait, to make a race. */
  fault: (operation: string, login: string) => Fault | undefined | Promise<Fault | undefined> = () => undefined;
  hasIssues = true;
  now = () => '2026-11-21T12:00:00Z';
  private readonly api = OPEN_API;
  private nextId = 1_000;
  private readonly server = createServer((request, response) => void this.serve(request, response));

  static async start(): Promise<GitHubServer> {
    const one = new GitHubServer();
    await new Promise<void>((resolve) => one.server.listen(0, '127.0.0.1', resolve));
    return one;
  }

  get url(): string {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    return `http://127.0.0.1:${String(address.port)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  addComment(issue: number, author: string, body: string): ServerComment {
    const comment = { id: this.nextId++, issue, author, body };
    this.comments.push(comment);
    return comment;
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? '/', this.url);
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(z.instanceof(Buffer).parse(piece));
      const text = Buffer.concat(pieces).toString('utf8');
      const reply = await this.reply(request, url, text === '' ? undefined : JSON.parse(text));
      response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
      response.end(reply.body === undefined ? undefined : JSON.stringify(reply.body));
    } catch (error) {
      this.violations.push(String(error));
      response.writeHead(500).end('{}');
    }
  }

  private async reply(request: IncomingMessage, url: URL, body: unknown): Promise<Reply> {
    const method = request.method ?? 'GET';
    const found = this.api.find(method, url.pathname);
    const login = /token-([\w[\]-]+)/.exec(request.headers.authorization ?? '')?.[1];
    if (found === undefined) {
      this.violations.push(`${method} ${url.pathname} is no operation we know`);
      return refusal(404, 'Not Found');
    }
    const { operation, params } = found;
    this.log.push(`${method} ${url.pathname}`);
    if (login === undefined) return refusal(401, 'Bad credentials');
    this.violations.push(...this.api.requestProblems(operation, url.searchParams, body));
    const fault = await this.fault(operation, login);
    if (fault !== undefined && fault.afterwards !== true) return refusal(fault.status, fault.message, fault.headers);
    const reply = this.answer(operation, params, url, json.parse(body ?? {}), login);
    if (!PARTIAL_ANSWERS.includes(operation)) {
      this.violations.push(...this.api.responseProblems(operation, reply.status, reply.body));
    }
    return fault === undefined ? reply : refusal(fault.status, fault.message, fault.headers);
  }

  private answer(
    operation: string,
    params: Readonly<Record<string, string>>,
    url: URL,
    body: Record<string, unknown>,
    login: string,
  ): Reply {
    const text = (name: string): string => z.string().parse(body[name] ?? '');
    const list = (name: string): string[] => z.array(z.string()).parse(body[name] ?? []);
    const issue = this.issues.find(({ number }) => number === Number(params['issue_number']));
    const comment = this.comments.find(({ id }) => id === Number(params['comment_id']));
    const pull = this.pulls.get(Number(params['pull_number']));
    switch (operation) {
      case 'GET /user':
        if (login.endsWith('[bot]')) return refusal(403, 'Resource not accessible by integration');
        return { status: 200, body: this.fullUser(login) };
      case 'GET /repos/{owner}/{repo}/pulls/{pull_number}':
        return pull === undefined
          ? refusal(404, 'Not Found')
          : { status: 200, body: this.pull(Number(params['pull_number']), pull) };
      case 'GET /repos/{owner}/{repo}/pulls/{pull_number}/files':
        return this.page(
          url,
          (pull?.files ?? []).map((filename) => this.file(filename)),
        );
      case 'GET /repos/{owner}/{repo}/commits/{commit_sha}/pulls':
        return this.page(
          url,
          [...this.pulls]
            // Commits of forks are not found by this list.
            .filter(([, { sha, head }]) => sha === params['commit_sha'] && head === undefined)
            .map(([number, one]) => this.pull(number, one)),
        );
      case 'GET /repos/{owner}/{repo}/pulls':
        return this.page(
          url,
          [...this.pulls]
            .filter(([, one]) => one.head === url.searchParams.get('head') && one.state === 'open')
            .map(([number, one]) => this.pull(number, one)),
        );
      case 'GET /repos/{owner}/{repo}/issues/{issue_number}/comments':
        return this.page(
          url,
          this.comments.filter((one) => one.issue === Number(params['issue_number'])).map((one) => this.comment(one)),
        );
      case 'POST /repos/{owner}/{repo}/issues/{issue_number}/comments':
        if (issue?.locked === true) return refusal(403, 'Unable to create comment because issue is locked.');
        if (text('body').length > 65_536) return refusal(422, 'Body is too long (maximum is 65536 characters)');
        return {
          status: 201,
          body: this.comment(this.addComment(Number(params['issue_number']), login, text('body'))),
        };
      case 'PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}':
        if (comment === undefined) return refusal(404, 'Not Found');
        comment.body = text('body');
        return { status: 200, body: this.comment(comment) };
      case 'DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}':
        if (comment === undefined) return refusal(404, 'Not Found');
        this.comments.splice(this.comments.indexOf(comment), 1);
        return { status: 204 };
      case 'POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions': {
        // One reaction of a kind and a person: the second time it is 200.
        const reaction = { comment: Number(params['comment_id']), content: text('content'), login };
        const isKnown = this.reactions.some(
          (one) => one.comment === reaction.comment && one.content === reaction.content && one.login === login,
        );
        if (!isKnown) this.reactions.push(reaction);
        return {
          status: isKnown ? 200 : 201,
          body: {
            id: this.nextId++,
            node_id: 'r',
            user: this.user(login),
            content: text('content'),
            created_at: this.now(),
          },
        };
      }
      case 'GET /repos/{owner}/{repo}/issues': {
        if (!this.hasIssues) return refusal(410, 'Issues are disabled for this repo');
        const label = url.searchParams.get('labels') ?? '';
        return this.page(
          url,
          this.issues.filter(({ labels }) => labels.includes(label)).map((one) => this.issue(one)),
        );
      }
      case 'POST /repos/{owner}/{repo}/issues': {
        if (!this.hasIssues) return refusal(410, 'Issues are disabled for this repo');
        const made: ServerIssue = {
          number: this.issues.length + 1,
          title: text('title'),
          body: text('body'),
          state: 'open',
          stateReason: null,
          labels: list('labels'),
          assignees: list('assignees'),
          author: login,
          closedAt: null,
          locked: false,
        };
        this.issues.push(made);
        return { status: 201, body: this.issue(made) };
      }
      case 'PATCH /repos/{owner}/{repo}/issues/{issue_number}':
        if (issue === undefined) return refusal(404, 'Not Found');
        if (body['title'] !== undefined) issue.title = text('title');
        if (body['body'] !== undefined) issue.body = text('body');
        if (body['labels'] !== undefined) issue.labels = list('labels');
        if (body['state'] === 'closed' || body['state'] === 'open') {
          issue.state = body['state'];
          issue.closedAt = body['state'] === 'closed' ? this.now() : null;
          issue.stateReason = z
            .enum(['completed', 'not_planned', 'reopened', 'duplicate'])
            .nullable()
            .parse(body['state_reason'] ?? null);
        }
        return { status: 200, body: this.issue(issue) };
      case 'POST /repos/{owner}/{repo}/issues/{issue_number}/labels': {
        const labels = list('labels');
        const labelled = this.pulls.get(Number(params['issue_number']));
        if (labelled !== undefined) labelled.labels = [...new Set([...(labelled.labels ?? []), ...labels])];
        if (issue !== undefined) issue.labels = [...new Set([...issue.labels, ...labels])];
        return { status: 200, body: labels.map((name) => this.label(name)) };
      }
      case 'POST /repos/{owner}/{repo}/check-runs':
      case 'PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}': {
        const annotations = z.object({ annotations: z.array(z.unknown()).default([]) }).parse(body['output'] ?? {})
          .annotations.length;
        if (annotations > 50) return refusal(422, 'Invalid request: no more than 50 annotations');
        let check = this.checks.find(({ id }) => id === Number(params['check_run_id']));
        if (check === undefined) {
          check = {
            id: this.nextId++,
            name: text('name'),
            conclusion: text('conclusion'),
            annotations: 0,
            batches: [],
          };
          this.checks.push(check);
        }
        check.annotations += annotations;
        check.batches.push(annotations);
        return { status: params['check_run_id'] === undefined ? 201 : 200, body: this.checkRun(check) };
      }
      case 'POST /repos/{owner}/{repo}/statuses/{sha}':
        this.statuses.push({
          sha: params['sha'] ?? '',
          state: text('state'),
          context: text('context'),
          description: text('description'),
        });
        return {
          status: 201,
          body: {
            url: this.url,
            avatar_url: null,
            id: this.nextId++,
            node_id: 's',
            state: text('state'),
            description: text('description'),
            target_url: null,
            context: text('context'),
            created_at: this.now(),
            updated_at: this.now(),
            creator: this.user(login),
          },
        };
      case 'GET /repos/{owner}/{repo}/collaborators/{username}/permission': {
        const permission = this.permissions.get(params['username'] ?? '');
        return permission === undefined
          ? refusal(404, 'Not Found')
          : { status: 200, body: { permission, role_name: permission, user: null } };
      }
      case 'GET /repos/{owner}/{repo}/actions/runs': {
        const runs = this.workflowRuns.filter(({ sha }) => sha === url.searchParams.get('head_sha'));
        return {
          status: 200,
          body: { total_count: runs.length, workflow_runs: runs.map((run) => this.workflowRun(run)) },
        };
      }
      case 'POST /repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs':
        this.reruns.push(Number(params['run_id']));
        return { status: 201, body: {} };
      case 'POST /repos/{owner}/{repo}/actions/runs/{run_id}/approve':
        this.approved.push(Number(params['run_id']));
        return { status: 201, body: {} };
      case 'GET /repos/{owner}/{repo}':
        return { status: 200, body: { default_branch: 'main' } };
      case 'GET /repos/{owner}/{repo}/git/ref/{ref}': {
        const branch = (params['ref'] ?? '').replace(/^heads\//, '');
        const sha = this.branches.get(branch);
        return sha === undefined ? refusal(404, 'Not Found') : { status: 200, body: this.ref(branch, sha) };
      }
      case 'POST /repos/{owner}/{repo}/git/refs': {
        const branch = text('ref').replace(/^refs\/heads\//, '');
        if (this.branches.has(branch)) return refusal(422, 'Reference already exists');
        this.branches.set(branch, text('sha'));
        return { status: 201, body: this.ref(branch, text('sha')) };
      }
      case 'GET /repos/{owner}/{repo}/contents/{path}': {
        const path = params['path'] ?? '';
        const content = this.files.get(path);
        return content === undefined ? refusal(404, 'Not Found') : { status: 200, body: this.content(path, content) };
      }
      case 'PUT /repos/{owner}/{repo}/contents/{path}': {
        const path = params['path'] ?? '';
        const old = this.files.get(path);
        if ((old === undefined ? undefined : blobSha(old)) !== body['sha'])
          return refusal(409, `${path} does not match`);
        const content = Buffer.from(text('content'), 'base64').toString('utf8');
        this.files.set(`${text('branch')}:${path}`, content);
        const { content: _, encoding: __, ...described } = this.content(path, content);
        return { status: old === undefined ? 201 : 200, body: { content: described, commit: { sha: 'c'.repeat(40) } } };
      }
      case 'POST /repos/{owner}/{repo}/pulls':
        this.proposed.push({ head: text('head'), base: text('base'), title: text('title'), body: text('body') });
        return { status: 201, body: { number: 500 + this.proposed.length } };
      default:
        throw new Error(`${operation} is not made`);
    }
  }

  private page(url: URL, items: readonly unknown[]): Reply {
    const size = Math.min(100, Number(url.searchParams.get('per_page') ?? 30));
    const page = Number(url.searchParams.get('page') ?? 1);
    const next = new URL(url);
    next.searchParams.set('page', String(page + 1));
    return {
      status: 200,
      body: items.slice((page - 1) * size, page * size),
      headers: page * size < items.length ? { link: `<${next.href}>; rel="next"` } : {},
    };
  }

  private user(login: string) {
    const url = this.url;
    const urls = [
      'avatar_url',
      'url',
      'html_url',
      'followers_url',
      'following_url',
      'gists_url',
      'starred_url',
      'subscriptions_url',
      'organizations_url',
      'repos_url',
      'events_url',
      'received_events_url',
    ];
    return {
      ...Object.fromEntries(urls.map((name) => [name, url])),
      login,
      id: 1,
      node_id: 'u',
      gravatar_id: null,
      type: login.endsWith('[bot]') ? 'Bot' : 'User',
      site_admin: false,
    };
  }

  private fullUser(login: string) {
    return {
      ...this.user(login),
      name: null,
      company: null,
      blog: null,
      location: null,
      email: null,
      hireable: null,
      bio: null,
      public_repos: 0,
      public_gists: 0,
      followers: 0,
      following: 0,
      created_at: this.now(),
      updated_at: this.now(),
      user_view_type: 'public',
    };
  }

  private comment({ id, issue, author, body }: ServerComment) {
    return {
      id,
      node_id: 'c',
      url: this.url,
      html_url: this.url,
      issue_url: `${this.url}/issues/${String(issue)}`,
      body,
      user: this.user(author),
      created_at: this.now(),
      updated_at: this.now(),
      author_association: 'NONE',
    };
  }

  private label(name: string) {
    return { id: 1, node_id: 'l', url: this.url, name, description: null, color: 'ededed', default: false };
  }

  private issue(one: ServerIssue) {
    const urls = ['url', 'repository_url', 'labels_url', 'comments_url', 'events_url', 'html_url'];
    return {
      ...Object.fromEntries(urls.map((name) => [name, this.url])),
      id: one.number,
      node_id: 'i',
      number: one.number,
      title: one.title,
      body: one.body,
      state: one.state,
      state_reason: one.stateReason,
      user: this.user(one.author),
      labels: one.labels.map((name) => this.label(name)),
      assignee: null,
      assignees: one.assignees.map((login) => this.user(login)),
      milestone: null,
      locked: one.locked,
      comments: 0,
      closed_at: one.closedAt,
      created_at: this.now(),
      updated_at: this.now(),
      author_association: 'NONE',
    };
  }

  private file(filename: string) {
    return {
      sha: 'f'.repeat(40),
      filename,
      status: 'modified',
      additions: 1,
      deletions: 1,
      changes: 2,
      blob_url: this.url,
      raw_url: this.url,
      contents_url: this.url,
    };
  }

  /** A pull request has hundreds of required members, most about its repositories; only what we read is checked. */
  private pull(
    number: number,
    { sha, state, author, labels = [] }: { sha: string; state: string; author: string; labels?: string[] },
  ) {
    return { number, state, head: { sha }, user: this.user(author), labels: labels.map((name) => this.label(name)) };
  }

  private ref(branch: string, sha: string) {
    return { ref: `refs/heads/${branch}`, node_id: 'b', url: this.url, object: { type: 'commit', sha, url: this.url } };
  }

  private content(path: string, content: string) {
    const name = path.split('/').at(-1) ?? path;
    return {
      type: 'file',
      encoding: 'base64',
      size: Buffer.byteLength(content),
      name,
      path,
      content: Buffer.from(content, 'utf8').toString('base64'),
      sha: blobSha(content),
      url: this.url,
      git_url: this.url,
      html_url: this.url,
      download_url: this.url,
      _links: { git: this.url, html: this.url, self: this.url },
    };
  }

  private checkRun({ id, name, conclusion, annotations }: GitHubServer['checks'][number]) {
    return {
      id,
      head_sha: 'a'.repeat(40),
      node_id: 'k',
      external_id: null,
      url: this.url,
      html_url: null,
      details_url: null,
      status: 'completed',
      conclusion,
      started_at: null,
      completed_at: null,
      name,
      check_suite: null,
      app: null,
      pull_requests: [],
      output: { title: null, summary: null, text: null, annotations_count: annotations, annotations_url: this.url },
    };
  }

  private workflowRun({ id, sha, status, conclusion, createdAt }: GitHubServer['workflowRuns'][number]) {
    return { id, head_sha: sha, status, conclusion, created_at: createdAt ?? this.now() };
  }
}

/** Answers whose full form is hundreds of members about repositories; the test server sends what is read of them. */
export const PARTIAL_ANSWERS: readonly string[] = [
  'GET /repos/{owner}/{repo}/pulls/{pull_number}',
  'GET /repos/{owner}/{repo}/commits/{commit_sha}/pulls',
  'GET /repos/{owner}/{repo}/actions/runs',
  'GET /repos/{owner}/{repo}',
  'POST /repos/{owner}/{repo}/pulls',
  'GET /repos/{owner}/{repo}/pulls',
];

/** As git names a blob. */
function blobSha(content: string): string {
  return createHash('sha1')
    .update(`blob ${String(Buffer.byteLength(content))}\0${content}`)
    .digest('hex');
}

function refusal(status: number, message: string, headers: Readonly<Record<string, string>> = {}): Reply {
  return { status, body: { message, documentation_url: 'https://docs.github.com/rest' }, headers: { ...headers } };
}
