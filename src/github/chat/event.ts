import { z } from 'zod';

/** What we read of GitHub's `issue_comment` event. */
export const issueCommentSchema = z.object({
  action: z.string(),
  repository: z.object({ full_name: z.string().regex(/^[A-Za-z0-9][\w-]*\/(?!\.{1,2}$)[\w.-]+$/) }),
  issue: z.object({ number: z.number().int().min(1), pull_request: z.looseObject({}).optional() }),
  comment: z.object({
    id: z.number().int().min(1),
    body: z.string().nullable(),
    created_at: z.iso.datetime({ offset: true }),
    user: z.object({ login: z.string(), type: z.string().optional() }).nullable(),
  }),
});
type IssueComment = z.infer<typeof issueCommentSchema>;

/** A new comment of a person on a pull request. */
export interface ChatComment {
  readonly repository: string;
  readonly pullRequest: number;
  readonly id: number;
  readonly author: string;
  readonly body: string;
  /** ISO 8601 */
  readonly writtenAt: string;
}

/** @returns `undefined` for what nobody should act on: edits, issues, bots */
export function chatCommentOf({ action, repository, issue, comment }: IssueComment): ChatComment | undefined {
  const { user, body } = comment;
  if (action !== 'created' || issue.pull_request === undefined || user === null || body === null) return undefined;
  if (user.type === 'Bot' || user.login.endsWith('[bot]')) return undefined;
  return {
    repository: repository.full_name,
    pullRequest: issue.number,
    id: comment.id,
    author: user.login,
    body,
    writtenAt: comment.created_at,
  };
}
