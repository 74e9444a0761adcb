import { isMkCiError } from '../../errors.js';
import type { Logger } from '../../log.js';
import type { GitHub } from '../client/client.js';
import { decideComment, ownComments, type CommentAction } from './decide.js';
import type { RenderOptions } from './render.js';
import { decodeState, holdsSection, type CommentSection } from './state.js';

export interface PostCommentOptions {
  readonly pullRequest: number;
  readonly section: CommentSection;
  readonly render: RenderOptions;
  readonly dryRun?: boolean;
  readonly evenClosed?: boolean;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Waits before looking whether another job wrote over us; random, so that two do not meet again. */
  readonly pause: (round: number) => Promise<void>;
}

const MOST_ROUNDS = 6;

/**
 * Brings the comment to say what the section says, beside what other jobs say. GitHub has no conditional write, so it
 * writes, waits, reads again, and puts its section into the latest text once more when somebody wrote in between.
 *
 * @returns every action, those of a dry run too
 * @throws {MkCiError} a code of `GH_…`
 */
export async function postComment(github: GitHub, options: PostCommentOptions): Promise<readonly CommentAction[]> {
  const done: CommentAction[] = [];
  const author = await github.login();
  for (let round = 1; ; round += 1) {
    const pullRequest = await github.pullRequest(options.pullRequest);
    const comments = await github.comments(options.pullRequest);
    const own = ownComments(comments, author, options.render.key);
    // Someone may have deleted a duplicate's content for us: what counts is that the oldest holds our section.
    if (round > 1 && own.length === 1 && holdsSection(decodeState(own[0]?.body ?? ''), options.section)) return done;
    const actions = decideComment({
      pullRequest,
      section: options.section,
      comments,
      author,
      render: options.render,
      ...(options.evenClosed === undefined ? {} : { evenClosed: options.evenClosed }),
    });
    done.push(...(round > 1 ? actions.filter(({ type }) => type !== 'none') : actions));
    if (options.dryRun === true || actions.every(({ type }) => type === 'none')) return done;
    for (const action of actions) await applyAction(github, action, options);
    if (round === MOST_ROUNDS) {
      options.log.warn('other jobs keep writing over the comment', { rounds: round });
      return done;
    }
    await options.pause(round);
    options.signal.throwIfAborted();
  }
}

async function applyAction(github: GitHub, action: CommentAction, options: PostCommentOptions): Promise<void> {
  try {
    switch (action.type) {
      case 'none':
        return;
      case 'create':
        await github.createComment(options.pullRequest, action.body);
        return;
      case 'update':
        await github.updateComment(action.id, action.body);
        return;
      case 'delete':
        await github.deleteComment(action.id);
        return;
      default:
        return action satisfies never;
    }
  } catch (error) {
    // Gone in between, or a create of which nobody knows whether it happened: the next round looks.
    const mayGoOn =
      action.type === 'create'
        ? isMkCiError(error, 'GH_FAILED') || isMkCiError(error, 'GH_UNREACHABLE')
        : isMkCiError(error, 'GH_NOT_FOUND');
    if (!mayGoOn) throw error;
    options.log.warn('a write to GitHub is looked at again', {
      action: action.type,
      code: isMkCiError(error) ? error.code : '',
    });
  }
}
