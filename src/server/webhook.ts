import { createHash } from 'node:crypto';

import { Webhooks } from '@octokit/webhooks';
import type { Context, Hono } from 'hono';

import { MkCiError, messageOf } from '../errors.js';
import type { Logger } from '../log.js';
import { limitedBody } from './limited-body.js';

export interface WebhookOptions {
  /** Shared with GitHub; signs every delivery. */
  readonly secret: string;
  /**
   * Takes the body of an `issue_comment` event, parsed but not trusted further than its signature. Called one at a time,
   * after the delivery was answered.
   */
  readonly onComment: (event: unknown) => Promise<void>;
  readonly now?: () => number;
}

/** GitHub sends at most 25 MB; a comment is 64 KiB. */
const MAX_BYTES = 1024 * 1024;
/** A delivery of an older event is not believed: GitHub sends at once, and by hand within minutes. */
const MOST_AGE_MS = 15 * 60_000;
/** Deliveries waiting to be dealt with. */
const MOST_WAITING = 100;
const MOST_REMEMBERED = 10_000;

/** What is under way; a server that ends waits for it. */
export interface WebhookIntake {
  settled(): Promise<void>;
}

/**
 * `POST /api/github/webhook`: checks the signature before anything is parsed, takes each signed body once, and answers
 * before acting, because GitHub waits ten seconds.
 *
 * A replay is known by its body and not by `X-GitHub-Delivery`, which the signature does not cover: whoever recorded a
 * delivery could send it under another name.
 */
export function addWebhook(app: Hono, options: WebhookOptions, log: Logger): WebhookIntake {
  const webhooks = new Webhooks({ secret: options.secret });
  const now = options.now ?? Date.now;
  const seen = new Map<string, number>();
  let waiting = 0;
  let last: Promise<void> = Promise.resolve();

  app.post('/api/github/webhook', async (context) => {
    const body = await readText(context);
    const signature = context.req.header('x-hub-signature-256') ?? '';
    if (!/^sha256=[0-9a-f]{64}$/.test(signature) || body === '' || !(await webhooks.verify(body, signature))) {
      throw new MkCiError('SRV_UNAUTHORIZED', {
        message: 'the signature does not fit the body',
        advice: 'Give GitHub and mk-ci serve the same secret.',
      });
    }
    const name = context.req.header('x-github-event');
    if (name !== 'issue_comment') return context.json({ taken: false, why: 'not an event that is acted on' }, 202);
    const event = parse(body);
    const atMs = now();
    const ageMs = atMs - timeOf(event);
    if (!(ageMs <= MOST_AGE_MS)) return refuse(context, 'the event is too old');
    for (const [digest, untilMs] of seen) {
      if (untilMs >= atMs && seen.size < MOST_REMEMBERED) break; // oldest first
      seen.delete(digest);
    }
    const digest = createHash('sha256').update(body).digest('base64');
    if (seen.has(digest)) return refuse(context, 'this event was taken before');
    if (waiting >= MOST_WAITING) throw new MkCiError('SRV_OVERLOADED');
    // Twice the age: a clock that is behind must not make it forget too soon.
    seen.set(digest, atMs + 2 * MOST_AGE_MS);
    waiting += 1;
    last = last
      .then(async () => {
        await options.onComment(event);
      })
      .catch((error: unknown) => {
        log.error('a webhook could not be dealt with', { message: messageOf(error) });
      })
      .finally(() => {
        waiting -= 1;
      });
    return context.json({ taken: true }, 202);
  });
  return {
    settled: async () => {
      await last;
    },
  };
}

function refuse(context: Context, why: string): Response {
  return context.json({ taken: false, why }, 409);
}

async function readText(context: Context): Promise<string> {
  const pieces: Uint8Array[] = [];
  const limits = { maxBytes: MAX_BYTES, length: context.req.header('content-length') };
  for await (const piece of limitedBody(context.req.raw.body, limits)) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new MkCiError('SRV_BAD_REQUEST', {
      message: 'the body is no JSON',
      advice: 'Set the content type of the webhook to application/json.',
      cause: error,
    });
  }
}

/** When the comment was written or changed last, ms; NaN when the event does not say. */
function timeOf(event: unknown): number {
  const comment = memberOf(event, 'comment');
  const text = memberOf(comment, 'updated_at') ?? memberOf(comment, 'created_at');
  return typeof text === 'string' ? Date.parse(text) : Number.NaN;
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
