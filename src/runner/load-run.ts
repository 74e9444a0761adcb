import { stat } from 'node:fs/promises';

import { MkCiError, systemErrorCode } from '../errors.js';
import { writeFileAtomically } from '../files.js';
import { addRunEvent, addRunRepair, createRunState, runResult } from '../results/accumulate-run.js';
import { outputError, readEventLog } from '../results/event-log.js';
import type { RunResult } from '../results/model.js';
import { runFolderAt, type RunFolder } from '../results/run-folder.js';
import { renderProwFinished } from '../results/writers/index.js';
import { exitCodeOf } from './exit-code.js';

/**
 * Reads a run back from its folder: finished, still running, or killed at any moment.
 *
 * @throws {MkCiError} `RES_NOT_A_RUN` when the folder holds no events, `RES_MALFORMED` when a newer mk-ci wrote them
 */
export async function loadRun(root: string): Promise<RunResult> {
  const folder = runFolderAt(root);
  const state = createRunState();
  let count = 0;
  const onSkipped = ({ line, reason }: { line: number; reason: string }): void => {
    const message = reason === 'torn' ? 'the last event was cut off' : 'a line of events.jsonl is no event';
    addRunRepair(state, { kind: reason === 'torn' ? 'truncated' : 'broken-event', message, line });
  };
  for await (const event of readEventLog(folder.events, { onSkipped })) {
    addRunEvent(state, event);
    count += 1;
  }
  if (count === 0) throw new MkCiError('RES_NOT_A_RUN', { message: `${folder.events} holds no event` });
  return runResult(state);
}

export interface FinishedRun {
  readonly result: RunResult;
  readonly folder: RunFolder;
  readonly exitCode: number;
}

/**
 * Completes what a killed run could not: `finished.json`. Reports are written by the caller from the result, in which
 * unfinished tests are `notrun`. `events.jsonl` stays as it is: it is the record.
 *
 * @throws {MkCiError} as {@link loadRun}; `RUN_OUTPUT`
 */
export async function finishRun(root: string): Promise<FinishedRun> {
  const folder = runFolderAt(root);
  const result = await loadRun(root);
  // A run that did not end was killed: it can not have passed.
  const exitCode = result.exitCode ?? (exitCodeOf(result) || KILLED);
  if (!(await exists(folder.finished))) {
    try {
      await writeFileAtomically(
        folder.finished,
        renderProwFinished({ ...result, complete: true, exitCode: result.exitCode ?? KILLED }),
      );
    } catch (error) {
      throw outputError(folder.finished, error instanceof MkCiError ? error.cause : error);
    }
  }
  return { result, folder, exitCode };
}

/** 128 + SIGKILL. */
const KILLED = 137;

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
