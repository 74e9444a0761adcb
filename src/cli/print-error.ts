import { MkCiError, messageOf, redactSecrets } from '../errors.js';
import type { CliContext } from './command.js';

/**
 * Says what went wrong and what to do, for people, without a stack trace.
 *
 * @returns the exit code that belongs to the error
 */
export function printError(error: unknown, context: Pick<CliContext, 'stderr'>, verbose: boolean): number {
  const known =
    error instanceof MkCiError ? error : new MkCiError('CLI_INTERNAL', { message: messageOf(error), cause: error });
  const lines = [`mk-ci: ${known.message} (${known.code})`];
  const { problems, output } = known.details;
  if (Array.isArray(problems)) lines.push(...problems.map((problem) => `  ${String(problem)}`));
  if (typeof output === 'string' && output !== '') lines.push(...output.split('\n').map((line) => `  | ${line}`));
  lines.push(`  ${known.advice}`);
  for (const other of secondaryErrors(error)) lines.push(`  also: ${messageOf(other)}`);
  if (verbose || known.code === 'CLI_INTERNAL') {
    for (let at: unknown = verbose ? known : undefined; at instanceof Error; at = at.cause)
      lines.push(at.stack ?? at.message);
    if (!verbose) lines.push('  Run again with --verbose for its origin.');
  }
  context.stderr(`${withoutControls(redactSecrets(lines.join('\n')))}\n`);
  return known.exitCode;
}

/** Messages hold what other programs and hosts said: nothing in them may act on a terminal. Lines and tabs stay. Pure. */
export function withoutControls(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, '');
}

/** Failed clean-ups that came beside the first error. */
function secondaryErrors(error: unknown): readonly unknown[] {
  if (!(error instanceof Error)) return [];
  return error.cause instanceof AggregateError ? error.cause.errors : [];
}
