import { z } from 'zod';

import { MkCiError, isMkCiError, messageOf, type ErrorCode } from '../../errors.js';

/**
 * An answer of GitHub, or the lack of one, as an error of the catalogue. The token is in no message: request headers are
 * not kept, and messages are redacted.
 *
 * @param what in words, such as `create a comment on #7`
 */
export function githubErrorOf(error: unknown, what: string): MkCiError {
  if (isMkCiError(error)) return error;
  const answer = requestErrorOf(error);
  if (answer === undefined) return new MkCiError('GH_UNREACHABLE', { message: `${what}: ${causeOf(error)}` });
  const code = codeOf(answer);
  return new MkCiError(code, {
    message: `${what}: ${answer.message} (${answer.status})`,
    ...adviceOf(answer, code),
    details: { status: answer.status, method: answer.request.method, url: answer.request.url },
  });
}

/** What we read of Octokit's `RequestError`, which no package that we depend on exports. */
const requestErrorSchema = z.object({
  name: z.literal('HttpError'),
  message: z.string(),
  status: z.number(),
  request: z.object({ method: z.string(), url: z.string() }),
  response: z.object({ headers: z.record(z.string(), z.unknown()) }).optional(),
});
type RequestError = z.infer<typeof requestErrorSchema>;

function requestErrorOf(error: unknown): RequestError | undefined {
  if (!(error instanceof Error) || error.name !== 'HttpError') return undefined;
  return requestErrorSchema.safeParse(error).data;
}

/** Status of GitHub's answer, kept in the error's details. */
export function statusOf(error: unknown): number | undefined {
  const answer = requestErrorOf(error);
  if (answer !== undefined) return answer.status;
  const status = isMkCiError(error) ? error.details['status'] : undefined;
  return typeof status === 'number' ? status : undefined;
}

function codeOf(error: RequestError): ErrorCode {
  switch (error.status) {
    case 401:
      return 'GH_UNAUTHORIZED';
    case 403:
    case 429:
      return isRateLimit(error) ? 'GH_RATE_LIMIT' : 'GH_FORBIDDEN';
    case 404:
      return 'GH_NOT_FOUND';
    case 410:
      return 'GH_GONE';
    case 422:
      return 'GH_INVALID';
    case 500:
      // What Octokit makes of a connection that broke: there is no answer.
      return error.response === undefined ? 'GH_UNREACHABLE' : 'GH_FAILED';
    default:
      return 'GH_FAILED';
  }
}

function isRateLimit(error: RequestError): boolean {
  return (
    error.status === 429 ||
    /rate limit/i.test(error.message) ||
    error.response?.headers['x-ratelimit-remaining'] === '0'
  );
}

function adviceOf(error: RequestError, code: ErrorCode): { readonly advice?: string } {
  if (code !== 'GH_FORBIDDEN') return {};
  if (/not accessible by integration/i.test(error.message)) {
    return {
      advice:
        'Give the job the permission named in docs/github.md; on pull requests of forks the token can only read, use the two workflows of mk-ci init --ci github.',
    };
  }
  if (/locked/i.test(error.message)) return { advice: 'The conversation is locked: unlock it, or leave it to be.' };
  return {};
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? ` (${messageOf(error.cause)})` : '';
  return `${messageOf(error)}${cause}`;
}
