import { createAppAuth } from '@octokit/auth-app';
import { retry } from '@octokit/plugin-retry';
import { throttling } from '@octokit/plugin-throttling';
import { Octokit } from '@octokit/rest';
import { EnvHttpProxyAgent, fetch as undiciFetch } from 'undici';

import { MkCiError } from '../../errors.js';
import type { Logger } from '../../log.js';
import { VERSION } from '../../version.js';

export type GitHubAuth =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'app'; readonly appId: string; readonly privateKey: string; readonly installationId: number };

export interface OctokitSettings {
  readonly auth: GitHubAuth;
  /** `https://api.github.com`, or `https://HOST/api/v3` of an Enterprise Server. */
  readonly baseUrl: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Longest wait for a rate limit before giving up. @default 900 */
  readonly mostWaitSeconds?: number;
  /** What a second of waiting is. Tests make it short. @default 1000 */
  readonly secondMs?: number;
}

const Client = Octokit.plugin(throttling, retry);
const MOST_LIMIT_RETRIES = 3;

/**
 * An Octokit that keeps GitHub's rules: writes one after the other with a pause, rate limits obeyed, failed reads repeated.
 * What creates something sets `request: { retries: 0 }` itself: after a 5xx it may have happened.
 */
export function createOctokit(settings: OctokitSettings): Octokit {
  const { auth, baseUrl, log, mostWaitSeconds = 900, secondMs = 1_000 } = settings;
  const onLimit =
    (kind: string) => (retryAfter: number, options: { readonly url?: string }, _: unknown, count: number) => {
      if (retryAfter > mostWaitSeconds || count >= MOST_LIMIT_RETRIES || settings.signal.aborted) return false;
      log.warn('GitHub asks to wait', { limit: kind, seconds: retryAfter, url: options.url ?? '' });
      return true;
    };
  return new Client({
    baseUrl: baseUrl.replace(/\/+$/, ''),
    userAgent: `mk-ci/${VERSION}`,
    ...(auth.kind === 'token'
      ? { auth: auth.token }
      : {
          authStrategy: createAppAuth,
          auth: { appId: auth.appId, privateKey: auth.privateKey, installationId: auth.installationId },
        }),
    request: { fetch: proxyFetch(settings.signal) },
    // Every answer that is no success would be logged; the caller does that with its own words.
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    retry: { retryAfterBaseValue: secondMs },
    throttle: {
      // Pauses between writes are for GitHub's protection; a test server needs none.
      ...(secondMs >= 1_000 ? {} : NO_PAUSES),
      retryAfterBaseValue: secondMs,
      onRateLimit: onLimit('primary'),
      onSecondaryRateLimit: onLimit('secondary'),
    },
  });
}

const unlimited = {
  key: () => ({
    schedule: async (_options: unknown, job: () => Promise<void>) => {
      await job();
    },
  }),
};
/** Stands in for the plug-in's limiters of writes and lets everything through. */
const NO_PAUSES: object = { write: unlimited, notifications: unlimited };

/** `fetch` through `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, which that of Node 20 does not look at. */
function proxyFetch(
  signal: AbortSignal,
): (url: string, init: Parameters<typeof undiciFetch>[1]) => ReturnType<typeof undiciFetch> {
  const dispatcher = new EnvHttpProxyAgent({ headersTimeout: 60_000, bodyTimeout: 60_000 });
  return async (url, init) => {
    const own = init?.signal;
    return await undiciFetch(url, {
      ...init,
      dispatcher,
      signal: own == null ? signal : AbortSignal.any([own, signal]),
    });
  };
}

/**
 * Token or App from the environment: `MK_CI_GITHUB_APP_ID` with `MK_CI_GITHUB_APP_KEY` (PEM) and
 * `MK_CI_GITHUB_APP_INSTALLATION` first, else `GITHUB_TOKEN` or `GH_TOKEN`.
 *
 * @throws {MkCiError} `GH_NO_TOKEN`
 */
export function authOf(env: Readonly<Record<string, string | undefined>>): GitHubAuth {
  const appId = env['MK_CI_GITHUB_APP_ID'];
  const privateKey = env['MK_CI_GITHUB_APP_KEY'];
  const installationId = Number(env['MK_CI_GITHUB_APP_INSTALLATION']);
  if (appId && privateKey) {
    if (!Number.isInteger(installationId) || installationId <= 0) {
      throw new MkCiError('GH_NO_TOKEN', {
        message: 'MK_CI_GITHUB_APP_INSTALLATION is not the number of an installation',
      });
    }
    return { kind: 'app', appId, privateKey: privateKey.replaceAll('\\n', '\n'), installationId };
  }
  const token = env['GITHUB_TOKEN'] || env['GH_TOKEN'];
  if (!token) throw new MkCiError('GH_NO_TOKEN');
  return { kind: 'token', token: token.trim() };
}
