import type { CheckAnnotation } from '../client/client.js';
import { renderComment } from '../comment/render.js';
import { mergeSection, type CommentSection } from '../comment/state.js';

/** GitHub takes 1 MiB a step and drops a longer summary whole; other tools may have written to the same step. */
export const STEP_SUMMARY_LIMIT_BYTES = 1_048_576;
/** Enough for a hundred rows with excerpts. */
const OWN_LIMIT_BYTES = 200_000;
/** GitHub shows ten errors of a step. */
const MOST_COMMANDS = 10;

/**
 * Text to append to the file of `GITHUB_STEP_SUMMARY`.
 *
 * @param writtenBytes what the file holds already
 * @returns '' when no room is left
 */
export function renderStepSummary(
  section: CommentSection,
  { writtenBytes, repositoryUrl }: { readonly writtenBytes: number; readonly repositoryUrl?: string },
): string {
  const room = Math.min(OWN_LIMIT_BYTES, STEP_SUMMARY_LIMIT_BYTES - writtenBytes - 16);
  if (room < 1_000) return '';
  return `${renderComment(mergeSection(undefined, section), {
    key: 'summary',
    withState: false,
    limitBytes: room,
    ...(repositoryUrl === undefined ? {} : { repositoryUrl }),
  })}\n`;
}

/**
 * Workflow commands `::error file=…` for the log of a step; GitHub shows ten of them beside the code.
 *
 * @see https://docs.github.com/actions/reference/workflow-commands-for-github-actions
 */
export function renderWorkflowCommands(annotations: readonly CheckAnnotation[]): string {
  return annotations
    .slice(0, MOST_COMMANDS)
    .map(
      ({ path, startLine, title, message }) =>
        `::error file=${property(path)},line=${startLine},title=${property(title)}::${data(message)}\n`,
    )
    .join('');
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
