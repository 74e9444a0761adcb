import { createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';

import type { FailureRecord } from './record.js';

/** A failure as its row; `body` is there only when the text is more than the message. */
export interface StoredFailure {
  readonly id: number;
  readonly message: string;
  readonly body: Uint8Array | null;
}

/** Equal failures are one row: 16 bytes of the SHA-256 of kind, message and text. */
export function hashOfFailure({ kind, message, text }: FailureRecord): Buffer {
  return createHash('sha256')
    .update(`${kind ?? ''}\0${message}\0${text ?? ''}`)
    .digest()
    .subarray(0, 16);
}

export function bodyOfFailure({ text, message }: FailureRecord): Buffer | undefined {
  return text === undefined || text === '' || text === message ? undefined : deflateRawSync(text);
}

export function failureOfRow({ message, body }: StoredFailure): FailureRecord {
  return { message, ...(body === null ? {} : { text: inflateRawSync(body).toString('utf8') }) };
}

/** Sets first and last times of all signatures from the results that are left; the same text for both engines. */
export const SEE_ALL_SIGNATURES = `UPDATE signature SET (first_at, last_at) = (
  SELECT min(run.started_at), max(run.started_at)
  FROM failure JOIN result ON result.failure_id = failure.id JOIN run ON run.id = result.run_id
  WHERE failure.signature_id = signature.id)`;
