import type { RunResult } from '../../results/index.js';
import type { CheckAnnotation, CheckRun, GitHub } from '../client/client.js';
import { isMkCiError } from '../../errors.js';
import { headline, isGreen, renderComment } from '../comment/render.js';
import { mergeSection, type CommentSection } from '../comment/state.js';
import { failuresOf } from '../failures.js';
import { cutText, safeTitle } from '../text/safe.js';

/** GitHub takes 50 annotations with a request; more are appended. */
const BATCH = 50;
/** What `output.summary` may hold, with a margin. */
const SUMMARY_LIMIT_BYTES = 60_000;
/** Beyond this nobody reads, and the requests are many. */
const MOST_ANNOTATIONS = 500;

export interface CheckOptions {
  readonly name: string;
  readonly section: CommentSection;
  readonly repositoryUrl?: string;
  readonly detailsUrl?: string;
}

/** Failures that have a place in the source, one annotation each. Pure. */
export function annotationsOf(run: RunResult): CheckAnnotation[] {
  return failuresOf(run)
    .flatMap(({ id, environment, file, line, failure }): CheckAnnotation[] => {
      const path = file === undefined ? undefined : repositoryPath(file);
      if (path === undefined) return [];
      const message = cutText(failure?.text ?? failure?.message ?? 'did not pass', 4_000);
      const title = safeTitle(`${id.name} (${environment})`);
      return [
        { path, startLine: line ?? 1, title, message: message === '' ? 'did not pass' : message, level: 'failure' },
      ];
    })
    .slice(0, MOST_ANNOTATIONS);
}

/** A path below the root of the repository, or `undefined` for one that can not be. */
function repositoryPath(file: string): string | undefined {
  const path = file.replaceAll('\\', '/').replace(/^\.\//, '');
  return path === '' || path.startsWith('/') || path.split('/').includes('..') || /^[A-Za-z]:|\p{Cc}/u.test(path)
    ? undefined
    : path;
}

/** The check run with all its annotations; `conclusion` is neutral when only known flakes and quarantined tests failed. */
export function decideCheck(run: RunResult, { name, section, repositoryUrl, detailsUrl }: CheckOptions): CheckRun {
  const state = mergeSection(undefined, section);
  const summary = renderComment(state, {
    key: name,
    withState: false,
    limitBytes: SUMMARY_LIMIT_BYTES,
    ...(repositoryUrl === undefined ? {} : { repositoryUrl }),
  });
  return {
    name,
    sha: section.sha,
    conclusion: conclusionOf(section),
    title: safeTitle(headline(state)),
    summary,
    annotations: annotationsOf(run),
    ...(detailsUrl === undefined ? {} : { detailsUrl }),
  };
}

function conclusionOf(section: CommentSection): CheckRun['conclusion'] {
  if (isGreen({ v: 1, sections: [section] })) return 'success';
  const { caused = 0, undecided = 0, infrastructure = 0 } = section.totals;
  return caused + undecided + infrastructure + section.missing.length + section.problems.length > 0
    ? 'failure'
    : 'neutral';
}

export type CheckOutcome = { readonly type: 'check'; readonly requests: number } | { readonly type: 'status' };

/**
 * Publishes the check run; where the token may make none (only Apps may), a commit status says the same in one line.
 *
 * @throws {MkCiError} a code of `GH_…`
 */
export async function publishCheck(github: GitHub, check: CheckRun): Promise<CheckOutcome> {
  const batches = Array.from({ length: Math.max(1, Math.ceil(check.annotations.length / BATCH)) }, (_, index) =>
    check.annotations.slice(index * BATCH, (index + 1) * BATCH),
  );
  try {
    const id = await github.createCheckRun({ ...check, annotations: batches[0] ?? [] });
    for (const annotations of batches.slice(1)) {
      await github.addAnnotations(id, { title: check.title, summary: check.summary, annotations });
    }
    return { type: 'check', requests: batches.length };
  } catch (error) {
    if (!isMkCiError(error, 'GH_FORBIDDEN') && !isMkCiError(error, 'GH_NOT_FOUND')) throw error;
    await github.createStatus(check.sha, {
      state: check.conclusion === 'failure' ? 'failure' : 'success',
      context: check.name,
      description: cutText(check.title, 140),
      ...(check.detailsUrl === undefined ? {} : { url: check.detailsUrl }),
    });
    return { type: 'status' };
  }
}
