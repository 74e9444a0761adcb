import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { Command, Option } from 'commander';

import { MkCiError, messageOf } from '../errors.js';
import { FORMATS, type RunResult } from '../results/index.js';
import type { FlakeStore, RecordMeta } from '../flake/index.js';
import type { IngestQuery, WebhookIntake, WebhookOptions, WriteOptions } from '../server/index.js';
import { VERSION } from '../version.js';
import type { CliContext } from './command.js';
import { databaseOf, databaseOption, isDatabaseUrl, positive, type DatabaseOptions } from './flake/options.js';
import { identityOf, UNKNOWN_RUN } from './flake/record.js';
import { readReport } from './report/read-report.js';

const QUARANTINE_PATH = '.github/quarantine.yaml';

interface ServeOptions extends DatabaseOptions {
  readonly listen: string;
  readonly tokenFile?: string;
  readonly webhookSecretFile?: string;
  readonly quarantine: string;
  readonly maxUpload: number;
}

const SHORTEST_TOKEN = 16;
const MIB = 1024 * 1024;
const MOST_THREADS = 4;
/** The address is told once the pages that readers open first are there, or after this. */
const WARM_MS = 5_000;

/** `mk-ci serve`: the dashboard and its API, until a signal ends it. */
export function build(context: CliContext): Command {
  return new Command('serve')
    .description('dashboard and API of the flake database')
    .addOption(databaseOption())
    .addOption(new Option('--listen <host:port>', 'where to listen; port 0 takes a free one').default('127.0.0.1:7117'))
    .option('--token-file <file>', 'take results in from those who send the token in this file (default: read only)')
    .option(
      '--webhook-secret-file <file>',
      'act on comments that GitHub sends to /api/github/webhook, signed with the secret in this file',
    )
    .option('--quarantine <path>', 'quarantine file in the repository, for /quarantine', QUARANTINE_PATH)
    .addOption(
      new Option('--max-upload <MiB>', 'largest body of a request').argParser(positive('--max-upload')).default(64),
    )
    .addHelpText(
      'after',
      `
The address is printed on standard output when the server answers. It speaks plain HTTP: put a proxy with TLS in front
where others can reach it.

Examples:
  mk-ci serve --database .mk-ci/flake.db
  mk-ci serve --listen 0.0.0.0:7117 --token-file token
  curl -H "Authorization: Bearer $(cat token)" --data-binary @out/run/events.jsonl http://127.0.0.1:7117/api/runs`,
    )
    .action(async (options: ServeOptions) => {
      const { addWebhook, createDashboard, createReadPool, listen, loadDashboardAssets, parseListen, warmPages } =
        await import('../server/index.js');
      const { openFlakeStore } = await import('../flake/index.js');
      const address = parseListen(options.listen);
      const token =
        options.tokenFile === undefined ? undefined : await readToken(resolve(context.cwd, options.tokenFile));
      const webhookSecret =
        options.webhookSecretFile === undefined
          ? undefined
          : await readSecret(resolve(context.cwd, options.webhookSecretFile));
      const location = await databaseOf(options, context);
      const assets = await loadDashboardAssets();
      // The writer first: it makes the database when there is none.
      await using writer = token === undefined ? undefined : await openFlakeStore(location);
      await using store = await openFlakeStore(location, { readonly: true });
      // Postgres reads in processes of its own.
      await using pool = isDatabaseUrl(location)
        ? undefined
        : createReadPool({ location, threads: Math.min(MOST_THREADS, availableParallelism()) });
      const writes: WriteOptions | undefined =
        token === undefined || writer === undefined
          ? undefined
          : {
              token,
              store: writer,
              maxBytes: Math.floor(options.maxUpload * MIB),
              readRun: async (body, query, signal) =>
                await readBody(body, query, AbortSignal.any([signal, context.signal])),
            };
      let intake: WebhookIntake | undefined;
      const app = createDashboard({
        store,
        assets,
        toolVersion: VERSION,
        log: context.log,
        ...(pool === undefined ? {} : { read: pool.read }),
        ...(writes === undefined ? {} : { writes }),
        extend: (routes) => {
          if (webhookSecret === undefined) return;
          const onComment = commentHandler(store, options, context);
          intake = addWebhook(routes, { secret: webhookSecret, onComment }, context.log);
        },
      });
      await using server = await listen(app, address);
      const warmed = warmPages(app, context.signal);
      const waited = delay(WARM_MS, undefined, { ref: false, signal: context.signal });
      await Promise.race([warmed, waited.catch(() => undefined)]);
      await context.stdout(`${server.url}\n`);
      context.stderr(
        `${store.location}, ${writes === undefined ? 'read only' : 'taking results in'}; Ctrl-C ends it\n`,
      );
      await new Promise<void>((ended) => {
        if (context.signal.aborted) ended();
        context.signal.addEventListener('abort', () => {
          ended();
        });
      });
      await warmed;
      await intake?.settled();
    });
}

/** What a signed comment leads to, with the token or App of the environment. */
function commentHandler(
  store: FlakeStore,
  { quarantine }: Pick<ServeOptions, 'quarantine'>,
  context: CliContext,
): WebhookOptions['onComment'] {
  return async (event) => {
    const { chatCommentOf, handleChat, issueCommentSchema } = await import('../github/index.js');
    const { chatOptions } = await import('./github/chat.js');
    const { connect } = await import('./github/options.js');
    const comment = chatCommentOf(issueCommentSchema.parse(event));
    if (comment === undefined) return;
    const { actions } = await handleChat(
      connect(comment.repository, context),
      comment,
      chatOptions(comment.repository, { quarantine, store }, context),
    );
    context.log.info('a comment was dealt with', { comment: comment.id, actions: actions.length });
  };
}

/** @throws {MkCiError} `SRV_TOKEN` when the file is missing or holds too little */
/** A header carries one word only. */
async function readToken(path: string): Promise<string> {
  const token = await readSecret(path);
  if (/\s/.test(token)) throw new MkCiError('SRV_TOKEN', { message: `${path} holds more than one word` });
  return token;
}

async function readSecret(path: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new MkCiError('SRV_TOKEN', { message: messageOf(error), cause: error });
  }
  if (text.length < SHORTEST_TOKEN) {
    throw new MkCiError('SRV_TOKEN', {
      message: `${path} holds ${text.length} characters, ${SHORTEST_TOKEN} are the least`,
    });
  }
  return text;
}

/** A body is read as `flake record -` reads standard input. */
async function readBody(
  body: AsyncIterable<Uint8Array>,
  query: IngestQuery,
  signal: AbortSignal,
): Promise<{ readonly run: RunResult; readonly meta: RecordMeta }> {
  const format = FORMATS.find((one) => one === query.format);
  if (query.format !== undefined && format === undefined) {
    throw new MkCiError('SRV_BAD_REQUEST', {
      message: `format ${query.format}`,
      advice: `Known: ${FORMATS.join(', ')}.`,
    });
  }
  const { run, errors } = await readReport({
    inputs: ['-'],
    format,
    environment: query.environment ?? 'unknown',
    outputs: [],
    stdin: body,
    signal,
    toolVersion: VERSION,
    runId: UNKNOWN_RUN,
    now: new Date(),
    onError: () => undefined,
  });
  if (errors[0] !== undefined) throw errors[0];
  if (run.cells.every(({ tests }) => tests.length === 0))
    throw new MkCiError('RUN_NO_TESTS', { message: 'in the body' });
  const { repository, commit, tree, branch, pullRequest, environment, at, url } = query;
  const meta = {
    repository,
    commit,
    treeSha: tree,
    branch,
    pullRequest,
    environment,
    url,
    startedAtMs: at === undefined ? undefined : Date.parse(at),
    ciRun: run.runId === UNKNOWN_RUN ? identityOf(run, query, query.ciRun) : undefined,
  };
  return { run, meta: Object.fromEntries(Object.entries(meta).filter(([, value]) => value !== undefined)) };
}
