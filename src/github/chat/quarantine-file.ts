import { createHash } from 'node:crypto';

import { Document, isMap, isSeq, parseDocument } from 'yaml';

import { parseQuarantine } from '../../flake/index.js';

export interface QuarantineRequest {
  readonly test: string;
  readonly environment: string;
  readonly issue: string;
  readonly owner: string;
  /** Last day, `2026-01-31`. */
  readonly until: string;
}

/**
 * The quarantine file with one more entry; what people wrote, comments too, stays. An entry for the same test and
 * environment is replaced.
 *
 * @param text of the file; absent for a new one
 * @throws {MkCiError} `CFG_INVALID` when the file is not right already
 */
export function addToQuarantine(text: string | undefined, request: QuarantineRequest, path: string): string {
  if (text !== undefined) parseQuarantine(text, path);
  const document = text === undefined || text.trim() === '' ? new Document({ quarantine: [] }) : parseDocument(text);
  const { test, environment, issue, owner, until } = request;
  const entry = document.createNode({
    test,
    ...(environment === '*' ? {} : { environment }),
    issue,
    owner,
    until,
  });
  if (!isMap(document.contents)) document.contents = document.createNode({ quarantine: [] });
  const list = document.get('quarantine');
  if (!isSeq(list)) document.set('quarantine', document.createNode([entry]));
  else {
    const same = list.items.findIndex(
      (item) => isMap(item) && item.get('test') === test && (item.get('environment') ?? '*') === environment,
    );
    if (same === -1) list.add(entry);
    else list.set(same, entry);
  }
  return document.toString();
}

/** The same for the same test and environment: a second proposal finds the first. */
export function quarantineBranch({ test, environment, until }: QuarantineRequest): string {
  const key = createHash('sha256').update([test, environment, until].join('\0')).digest('hex').slice(0, 12);
  return `mk-ci/quarantine-${key}`;
}
