import { createHmac } from 'node:crypto';

import { Hono } from 'hono';
import { beforeEach, describe, expect, it } from 'vitest';

import { isMkCiError } from '../errors.js';
import { createLogger } from '../log.js';
import { addWebhook, type WebhookIntake } from './webhook.js';

const SECRET = 'a secret that GitHub knows, too';
const NOW = Date.parse('2026-11-21T12:00:00Z');
let app: Hono;
let intake: WebhookIntake;
let taken: unknown[];
let act: (event: unknown) => Promise<void>;
let nowMs: number;
const lines: string[] = [];

beforeEach(() => {
  taken = [];
  nowMs = NOW;
  act = async (event) => void taken.push(event);
  app = new Hono();
  app.onError((error, context) =>
    context.json({ code: isMkCiError(error) ? error.code : 'bug' }, isMkCiError(error, 'SRV_UNAUTHORIZED') ? 401 : 400),
  );
  intake = addWebhook(
    app,
    {
      secret: SECRET,
      now: () => nowMs,
      onComment: async (event) => {
        await act(event);
      },
    },
    createLogger({ write: (line) => lines.push(line) }),
  );
});

const bodyOf = (id: number, at = NOW) =>
  JSON.stringify({ action: 'created', comment: { id, created_at: new Date(at).toISOString() } });
const sign = (body: string, secret = SECRET) => `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
const send = async (body: string, headers: Readonly<Record<string, string>> = {}) =>
  await app.request('/api/github/webhook', {
    method: 'POST',
    body,
    headers: {
      'x-hub-signature-256': sign(body),
      'x-github-event': 'issue_comment',
      'x-github-delivery': 'one',
      ...headers,
    },
  });

describe('the webhook', () => {
  it('takes a signed comment once, whatever the delivery is called', async () => {
    expect((await send(bodyOf(1))).status).toBe(202);
    expect((await send(bodyOf(1), { 'x-github-delivery': 'two' })).status).toBe(409);
    expect((await send(bodyOf(2))).status).toBe(202);
    await intake.settled();
    expect(taken).toHaveLength(2);
  });

  it('refuses what is not signed with the secret, before parsing it', async () => {
    const body = bodyOf(1);
    for (const signature of [
      '',
      'sha256=',
      sign(body, 'guess'),
      sign(`${body} `),
      sign(body).replace('sha256', 'sha1'),
    ]) {
      expect((await send(body, { 'x-hub-signature-256': signature })).status).toBe(401);
    }
    expect((await send('{', { 'x-hub-signature-256': sign('[') })).status).toBe(401);
    await intake.settled();
    expect(taken).toEqual([]);
  });

  it('refuses what is old, or does not say how old it is', async () => {
    expect((await send(bodyOf(1, NOW - 16 * 60_000))).status).toBe(409);
    expect((await send('{}')).status).toBe(409);
    const body = bodyOf(3);
    await send(body);
    nowMs += 14 * 60_000;
    expect((await send(body)).status).toBe(409);
    // Forgotten by now, and too old.
    nowMs += 3_600_000;
    expect((await send(body)).status).toBe(409);
    await intake.settled();
    expect(taken).toHaveLength(1);
  });

  it('leaves other events alone and takes neither huge bodies nor what is no JSON', async () => {
    expect((await send('{"zen":"x"}', { 'x-github-event': 'ping' })).status).toBe(202);
    expect((await send('no json')).status).toBe(400);
    expect((await send('x'.repeat(1_100_000))).status).toBe(400);
    await intake.settled();
    expect(taken).toEqual([]);
  });

  it('goes on after one that fails, one at a time, and takes no more than it can hold', async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    let running = 0;
    let most = 0;
    act = async (event) => {
      running += 1;
      most = Math.max(most, running);
      await gate;
      running -= 1;
      taken.push(event);
      if (taken.length === 1) throw new Error('no luck');
    };
    const statuses: number[] = [];
    for (let id = 1; id <= 101; id += 1) statuses.push((await send(bodyOf(id))).status);
    expect(statuses.slice(0, 100).every((status) => status === 202)).toBe(true);
    expect(statuses[100]).toBe(400);
    open();
    await intake.settled();
    expect(taken).toHaveLength(100);
    expect(most).toBe(1);
    expect(lines.join()).toContain('no luck');
  });
});
