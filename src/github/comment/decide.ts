import { isGreen, renderComment, type RenderOptions } from './render.js';
import { decodeState, hasMarker, mergeSection, type CommentSection, type CommentState } from './state.js';

/** A comment as it stands on the pull request. */
export interface ExistingComment {
  readonly id: number;
  /** Login with `[bot]` where it has one. */
  readonly author: string;
  readonly body: string;
}

export interface PullRequestFacts {
  readonly number: number;
  readonly headSha: string;
  readonly isOpen: boolean;
}

export type CommentAction =
  | { readonly type: 'none'; readonly reason: string }
  | { readonly type: 'create'; readonly body: string }
  | { readonly type: 'update'; readonly id: number; readonly body: string }
  | { readonly type: 'delete'; readonly id: number; readonly reason: string };

export interface CommentInput {
  readonly pullRequest: PullRequestFacts;
  readonly section: CommentSection;
  /** All comments, in any order. */
  readonly comments: readonly ExistingComment[];
  /** Our own login. */
  readonly author: string;
  readonly render: RenderOptions;
  /** Writes on a pull request that is closed, too. @default false */
  readonly evenClosed?: boolean;
}

/** Comments that are ours: by marker at the start and by author, oldest first. */
export function ownComments(comments: readonly ExistingComment[], author: string, key: string): ExistingComment[] {
  return comments
    .filter((comment) => sameLogin(comment.author, author) && hasMarker(comment.body, key))
    .sort((a, b) => a.id - b.id);
}

/** GraphQL leaves `[bot]` out, and logins know no case. */
function sameLogin(a: string, b: string): boolean {
  const plain = (login: string) => login.toLowerCase().replace(/\[bot\]$/, '');
  return plain(a) === plain(b);
}

/**
 * What to do about the comment. The oldest of ours is the one; others are folded into it and removed. Nothing is written
 * for a commit that is no longer the head, for text that stands there already, or while all is green and none exists.
 */
export function decideComment(input: CommentInput): CommentAction[] {
  const { pullRequest, section, author, render } = input;
  if (!pullRequest.isOpen && input.evenClosed !== true) return [{ type: 'none', reason: 'the pull request is closed' }];
  if (pullRequest.headSha !== section.sha) {
    return [{ type: 'none', reason: `${section.sha.slice(0, 10)} is no longer the head of the pull request` }];
  }
  const [ours, ...duplicates] = ownComments(input.comments, author, render.key);
  const known = [ours, ...duplicates].flatMap((comment) =>
    comment === undefined ? [] : (decodeState(comment.body)?.sections ?? []),
  );
  const state = [...known.filter(({ sha }) => sha === section.sha), section].reduce<CommentState>(mergeSection, {
    v: 1,
    sections: [],
  });
  const body = renderComment(state, render);
  const removals = duplicates.map(({ id }): CommentAction => ({
    type: 'delete',
    id,
    reason: 'a second comment of ours',
  }));
  if (ours === undefined)
    return isGreen(state) ? [{ type: 'none', reason: 'all is green' }] : [{ type: 'create', body }];
  if (ours.body.trimEnd() === body.trimEnd() && removals.length === 0)
    return [{ type: 'none', reason: 'the comment says so already' }];
  return [
    ...(ours.body.trimEnd() === body.trimEnd() ? [] : [{ type: 'update', id: ours.id, body } as const]),
    ...removals,
  ];
}
