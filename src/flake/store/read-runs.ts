import { inflateRawSync } from 'node:zlib';

import type { Kysely } from 'kysely';

import { runsInWindow } from './filters.js';
import { statusOfCode, type ResultRecord, type RunRecord } from './record.js';
import type { Schema } from './schema.js';
import type { Filter } from './store.js';

/** Runs are read in pages, so memory does not grow with the history. */
export async function* readRuns(
  db: Kysely<Schema>,
  filter: Pick<Filter, 'sinceMs' | 'untilMs'> = {},
): AsyncGenerator<RunRecord> {
  const pageSize = 100;
  for (let after = 0; ;) {
    const runs = await runsInWindow(
      db
        .selectFrom('run')
        .innerJoin('repository', 'repository.id', 'run.repository_id')
        .innerJoin('environment', 'environment.id', 'run.environment_id')
        .innerJoin('suite', 'suite.id', 'run.suite_id')
        .innerJoin('revision', 'revision.id', 'run.revision_id')
        .where('run.id', '>', after)
        .where('run.pruned', '=', 0),
      filter,
    )
      .select([
        'run.id as id',
        'run.uid as uid',
        'repository.name as repository',
        'environment.name as environment',
        'suite.name as suite',
        'revision.sha as sha',
        'revision.tree_sha as treeSha',
        'revision.position as position',
        'run.branch as branch',
        'run.pull_request as pullRequest',
        'run.url as url',
        'run.started_at as startedAtMs',
        'run.duration_ms as durationMs',
        'run.complete as complete',
        'run.excluded as excluded',
        'run.origin as origin',
      ])
      .orderBy('run.id')
      .limit(pageSize)
      .execute();
    if (runs.length === 0) return;
    const results = await readResults(
      db,
      runs.map(({ id }) => id),
    );
    for (const {
      id,
      sha,
      treeSha,
      position,
      branch,
      pullRequest,
      url,
      durationMs,
      excluded,
      complete,
      ...run
    } of runs) {
      yield {
        ...run,
        ...(sha.startsWith('run:')
          ? {}
          : {
              commit: {
                sha,
                ...(treeSha === null ? {} : { treeSha }),
                ...(position === null ? {} : { position }),
              },
            }),
        ...(branch === null ? {} : { branch }),
        ...(pullRequest === null ? {} : { pullRequest }),
        ...(url === null ? {} : { url }),
        ...(durationMs === null ? {} : { durationMs }),
        ...(excluded === null ? {} : { excluded }),
        complete: complete === 1,
        results: results.get(id) ?? [],
      };
    }
    after = runs.at(-1)?.id ?? after;
  }
}

async function readResults(db: Kysely<Schema>, runIds: readonly number[]): Promise<Map<number, ResultRecord[]>> {
  const rows = await db
    .selectFrom('result')
    .innerJoin('test', 'test.id', 'result.test_id')
    .leftJoin('failure', 'failure.id', 'result.failure_id')
    .where('result.run_id', 'in', runIds)
    .select([
      'result.run_id as runId',
      'test.package as package',
      'test.name as name',
      'result.attempt as attempt',
      'result.status as status',
      'result.duration_ms as durationMs',
      'failure.kind as kind',
      'failure.message as message',
      'failure.body as body',
    ])
    .orderBy('result.run_id')
    .orderBy('result.test_id')
    .orderBy('result.attempt')
    .execute();
  const byRun = new Map<number, ResultRecord[]>();
  for (const { runId, status, durationMs, kind, message, body, ...row } of rows) {
    const list = byRun.get(runId) ?? [];
    byRun.set(runId, list);
    list.push({
      ...row,
      status: statusOfCode(status),
      ...(durationMs === null ? {} : { durationMs }),
      ...(message === null
        ? {}
        : {
            failure: {
              message,
              ...(body === null ? {} : { text: inflateRawSync(body).toString('utf8') }),
              ...(kind === null ? {} : { kind }),
            },
          }),
    });
  }
  return byRun;
}
