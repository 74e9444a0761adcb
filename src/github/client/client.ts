import type { Octokit } from '@octokit/rest';

import { MkCiError } from '../../errors.js';
import { githubErrorOf, statusOf } from './errors.js';
import { createOctokit, type OctokitSettings } from './octokit.js';

export interface IssueFacts {
  readonly number: number;
  readonly title: string;
  readonly body: string;
  readonly state: 'open' | 'closed';
  /** `duplicate`, `not_planned`, `completed` … of a closed issue. */
  readonly stateReason?: string;
  readonly labels: readonly string[];
  readonly author: string;
  readonly closedAt?: string;
  readonly locked: boolean;
}

export interface NewIssue {
  readonly title: string;
  readonly body: string;
  readonly labels: readonly string[];
  readonly assignees: readonly string[];
}

export interface IssueChange {
  readonly title?: string;
  readonly body?: string;
  readonly state?: 'open' | 'closed';
  readonly stateReason?: 'completed' | 'not_planned' | 'reopened';
  readonly labels?: readonly string[];
}

export interface CheckAnnotation {
  readonly path: string;
  readonly startLine: number;
  readonly title: string;
  readonly message: string;
  readonly level: 'failure' | 'warning' | 'notice';
}

export interface CheckOutput {
  readonly title: string;
  readonly summary: string;
  readonly annotations: readonly CheckAnnotation[];
}

export interface CheckRun extends CheckOutput {
  readonly name: string;
  readonly sha: string;
  readonly conclusion: 'success' | 'failure' | 'neutral';
  readonly detailsUrl?: string;
}

export type Reaction = '+1' | '-1' | 'rocket' | 'eyes' | 'confused';

/**
 * The few things the bot does on GitHub, each with an error of the catalogue when it can not be done. A create is sent
 * once: after a failure the caller looks whether it happened.
 */
export interface GitHub {
  readonly repository: string;
  /** Requests sent so far, repeated ones included. */
  requests(): number;
  /** Login of whoever the token belongs to. */
  login(): Promise<string>;
  pullRequest(number: number): Promise<{
    readonly number: number;
    readonly headSha: string;
    readonly isOpen: boolean;
    readonly author: string;
    readonly labels: readonly string[];
  }>;
  /** Open pull requests with this commit as their head, in this repository or a fork. */
  pullRequestsOf(
    sha: string,
    head?: { readonly owner: string; readonly branch: string },
  ): Promise<readonly { readonly number: number; readonly headSha: string }[]>;
  changedFiles(number: number): Promise<readonly string[]>;
  comments(issue: number): Promise<readonly { readonly id: number; readonly author: string; readonly body: string }[]>;
  createComment(issue: number, body: string): Promise<number>;
  updateComment(id: number, body: string): Promise<void>;
  deleteComment(id: number): Promise<void>;
  /** All issues with a label, open and closed, without pull requests. */
  issues(label: string): Promise<readonly IssueFacts[]>;
  createIssue(issue: NewIssue): Promise<number>;
  updateIssue(number: number, change: IssueChange): Promise<void>;
  addLabels(issue: number, labels: readonly string[]): Promise<void>;
  createCheckRun(check: CheckRun): Promise<number>;
  addAnnotations(id: number, output: CheckOutput): Promise<void>;
  createStatus(
    sha: string,
    status: {
      readonly state: 'success' | 'failure' | 'error';
      readonly context: string;
      readonly description: string;
      readonly url?: string;
    },
  ): Promise<void>;
  permissionOf(login: string): Promise<'admin' | 'write' | 'read' | 'none'>;
  /** @returns whether the reaction is new; `false` when we had left it before */
  react(commentId: number, reaction: Reaction): Promise<boolean>;
  workflowRuns(sha: string): Promise<readonly WorkflowRun[]>;
  rerunFailedJobs(runId: number): Promise<void>;
  approveRun(runId: number): Promise<void>;
  defaultBranch(): Promise<string>;
  /** @returns `undefined` when there is no such file */
  readFile(path: string, branch: string): Promise<{ readonly text: string; readonly sha: string } | undefined>;
  /**
   * Proposes a new content of one file as a pull request.
   *
   * @returns its number, or `undefined` when the branch is there already: it was proposed before
   */
  proposeFile(proposal: FileProposal): Promise<number | undefined>;
}

export interface WorkflowRun {
  readonly id: number;
  readonly status: string;
  readonly conclusion: string;
  /** ISO 8601, by GitHub's clock. */
  readonly createdAt: string;
}

export interface FileProposal {
  readonly base: string;
  readonly branch: string;
  readonly path: string;
  readonly text: string;
  /** Of the content it replaces; absent for a new file. */
  readonly replaces?: string;
  readonly title: string;
  readonly body: string;
}

export interface GitHubOptions extends OctokitSettings {
  /** `owner/name`. */
  readonly repository: string;
  /** True inside GitHub Actions: its token belongs to `github-actions[bot]` and may not ask who it is. */
  readonly isActions: boolean;
}

const ONCE = { retries: 0 } as const;

/** @throws {MkCiError} `GH_USAGE` for a repository that is not `owner/name` */
export function createGitHub(options: GitHubOptions): GitHub {
  const [owner, repo, rest] = options.repository.split('/');
  if (!owner || !repo || rest !== undefined || !/^[\w.-]+\/[\w.-]+$/.test(options.repository)) {
    throw new MkCiError('GH_USAGE', { message: `'${options.repository}' is not owner/name` });
  }
  const octokit = createOctokit(options);
  let sent = 0;
  octokit.hook.before('request', () => {
    sent += 1;
  });
  const at = { owner, repo };
  const call = async <T>(what: string, body: () => Promise<T>): Promise<T> => {
    options.signal.throwIfAborted();
    try {
      return await body();
    } catch (error) {
      options.signal.throwIfAborted();
      throw githubErrorOf(error, what);
    }
  };
  const { rest: api } = octokit;
  return {
    repository: options.repository,
    requests: () => sent,
    login: async () => await call('ask who the token belongs to', async () => await loginOf(octokit, options)),
    pullRequest: async (number) =>
      await call(`read pull request #${number}`, async () => {
        const { data } = await api.pulls.get({ ...at, pull_number: number });
        return {
          number,
          headSha: data.head.sha,
          isOpen: data.state === 'open',
          author: data.user.login,
          labels: data.labels.map(({ name }) => name),
        };
      }),
    pullRequestsOf: async (sha, head) =>
      await call(`find the pull request of ${sha}`, async () => {
        const { data } = await api.repos.listPullRequestsAssociatedWithCommit({
          ...at,
          commit_sha: sha,
          per_page: 100,
        });
        // Of a commit that only a fork has, this list may be empty: then by the branch of the fork.
        const listed =
          data.length > 0 || head === undefined
            ? data
            : (await api.pulls.list({ ...at, state: 'open', head: `${head.owner}:${head.branch}`, per_page: 100 }))
                .data;
        return listed
          .filter((one) => one.state === 'open' && one.head.sha === sha)
          .map((one) => ({ number: one.number, headSha: one.head.sha }));
      }),
    changedFiles: async (number) =>
      await call(`list the files of #${number}`, async () =>
        (await octokit.paginate(api.pulls.listFiles, { ...at, pull_number: number, per_page: 100 })).map(
          ({ filename }) => filename,
        ),
      ),
    comments: async (issue) =>
      await call(`list the comments of #${issue}`, async () =>
        (await octokit.paginate(api.issues.listComments, { ...at, issue_number: issue, per_page: 100 })).map(
          ({ id, user, body }) => ({ id, author: user?.login ?? '', body: body ?? '' }),
        ),
      ),
    createComment: async (issue, body) =>
      await call(`comment on #${issue}`, async () => {
        const { data } = await api.issues.createComment({ ...at, issue_number: issue, body, request: ONCE });
        return data.id;
      }),
    updateComment: async (id, body) => {
      await call('edit a comment', async () => await api.issues.updateComment({ ...at, comment_id: id, body }));
    },
    deleteComment: async (id) => {
      await call('delete a comment', async () => await api.issues.deleteComment({ ...at, comment_id: id }));
    },
    issues: async (label) =>
      await call('list issues', async () => {
        const all = await octokit.paginate(api.issues.listForRepo, {
          ...at,
          labels: label,
          state: 'all',
          per_page: 100,
        });
        return all.filter((issue) => issue.pull_request === undefined).map(issueOf);
      }),
    createIssue: async ({ title, body, labels, assignees }) =>
      await call('open an issue', async () => {
        const { data } = await api.issues.create({
          ...at,
          title,
          body,
          labels: [...labels],
          assignees: [...assignees],
          request: ONCE,
        });
        return data.number;
      }),
    updateIssue: async (number, { title, body, state, stateReason, labels }) => {
      await call(
        `edit issue #${number}`,
        async () =>
          await api.issues.update({
            ...at,
            issue_number: number,
            ...(title === undefined ? {} : { title }),
            ...(body === undefined ? {} : { body }),
            ...(state === undefined ? {} : { state }),
            ...(stateReason === undefined ? {} : { state_reason: stateReason }),
            ...(labels === undefined ? {} : { labels: [...labels] }),
          }),
      );
    },
    addLabels: async (issue, labels) => {
      await call(
        `label #${issue}`,
        async () => await api.issues.addLabels({ ...at, issue_number: issue, labels: [...labels] }),
      );
    },
    createCheckRun: async ({ name, sha, conclusion, detailsUrl, ...output }) =>
      await call('create a check run', async () => {
        const { data } = await api.checks.create({
          ...at,
          name,
          head_sha: sha,
          status: 'completed',
          conclusion,
          ...(detailsUrl === undefined ? {} : { details_url: detailsUrl }),
          output: outputOf(output),
          request: ONCE,
        });
        return data.id;
      }),
    addAnnotations: async (id, output) => {
      await call(
        'add annotations to a check run',
        async () => await api.checks.update({ ...at, check_run_id: id, output: outputOf(output), request: ONCE }),
      );
    },
    createStatus: async (sha, { state, context, description, url }) => {
      await call(
        'set a commit status',
        async () =>
          await api.repos.createCommitStatus({
            ...at,
            sha,
            state,
            context,
            description,
            ...(url === undefined ? {} : { target_url: url }),
          }),
      );
    },
    permissionOf: async (login) =>
      await call(`ask what ${login} may do`, async () => {
        try {
          const { data } = await api.repos.getCollaboratorPermissionLevel({ ...at, username: login });
          const { permission } = data;
          return permission === 'admin' || permission === 'write' || permission === 'read' ? permission : 'none';
        } catch (error) {
          if (statusOf(error) === 404) return 'none';
          throw error;
        }
      }),
    react: async (commentId, reaction) =>
      await call('react to a comment', async () => {
        const { status } = await api.reactions.createForIssueComment({
          ...at,
          comment_id: commentId,
          content: reaction,
          // Whether it is new decides who acts: an answer that was lost must not be taken for one.
          request: ONCE,
        });
        return status === 201;
      }),
    workflowRuns: async (sha) =>
      await call(`list the workflow runs of ${sha}`, async () => {
        const runs = await octokit.paginate(api.actions.listWorkflowRunsForRepo, {
          ...at,
          head_sha: sha,
          per_page: 100,
        });
        return runs.map(({ id, status, conclusion, created_at: createdAt }) => ({
          id,
          status: status ?? '',
          conclusion: conclusion ?? '',
          createdAt,
        }));
      }),
    rerunFailedJobs: async (runId) => {
      await call(
        `run failed jobs of ${runId} again`,
        async () => await api.actions.reRunWorkflowFailedJobs({ ...at, run_id: runId, request: ONCE }),
      );
    },
    approveRun: async (runId) => {
      await call(
        `approve workflow run ${runId}`,
        async () => await api.actions.approveWorkflowRun({ ...at, run_id: runId, request: ONCE }),
      );
    },
    defaultBranch: async () =>
      await call('read the repository', async () => (await api.repos.get(at)).data.default_branch),
    readFile: async (path, branch) =>
      await call(`read ${path}`, async () => {
        try {
          const { data } = await api.repos.getContent({ ...at, path, ref: branch });
          if (Array.isArray(data) || data.type !== 'file')
            throw new MkCiError('GH_USAGE', { message: `${path} is no file` });
          return { text: Buffer.from(data.content, 'base64').toString('utf8'), sha: data.sha };
        } catch (error) {
          if (statusOf(error) === 404) return undefined;
          throw error;
        }
      }),
    proposeFile: async ({ base, branch, path, text, replaces, title, body }) =>
      await call(`propose ${path}`, async () => {
        const { data } = await api.git.getRef({ ...at, ref: `heads/${base}` });
        try {
          await api.git.createRef({ ...at, ref: `refs/heads/${branch}`, sha: data.object.sha, request: ONCE });
        } catch (error) {
          if (statusOf(error) === 422) return undefined;
          throw error;
        }
        await api.repos.createOrUpdateFileContents({
          ...at,
          path,
          branch,
          message: title,
          content: Buffer.from(text, 'utf8').toString('base64'),
          ...(replaces === undefined ? {} : { sha: replaces }),
          request: ONCE,
        });
        return (await api.pulls.create({ ...at, base, head: branch, title, body, request: ONCE })).data.number;
      }),
  };
}

async function loginOf(octokit: Octokit, { auth, isActions }: GitHubOptions): Promise<string> {
  if (auth.kind === 'app') {
    const { data } = await octokit.rest.apps.getAuthenticated();
    if (data?.slug === undefined) throw new MkCiError('GH_FAILED', { message: 'the App has no slug' });
    return `${data.slug}[bot]`;
  }
  try {
    return (await octokit.rest.users.getAuthenticated()).data.login;
  } catch (error) {
    if (isActions && statusOf(error) === 403) return 'github-actions[bot]';
    throw error;
  }
}

type ListedIssue = Awaited<ReturnType<Octokit['rest']['issues']['listForRepo']>>['data'][number];

function issueOf(issue: ListedIssue): IssueFacts {
  return {
    number: issue.number,
    title: issue.title,
    body: issue.body ?? '',
    state: issue.state === 'closed' ? 'closed' : 'open',
    ...(issue.state_reason == null ? {} : { stateReason: issue.state_reason }),
    labels: issue.labels.flatMap((label) => (typeof label === 'string' ? label : (label.name ?? []))),
    author: issue.user?.login ?? '',
    ...(issue.closed_at === null ? {} : { closedAt: issue.closed_at }),
    locked: issue.locked,
  };
}

function outputOf({ title, summary, annotations }: CheckOutput) {
  return {
    title,
    summary,
    annotations: annotations.map(({ path, startLine, title: head, message, level }) => ({
      path,
      start_line: startLine,
      end_line: startLine,
      annotation_level: level,
      title: head,
      message,
    })),
  };
}
