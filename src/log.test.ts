import { describe, expect, it } from 'vitest';

import { createLogger } from './log.js';

describe('createLogger', () => {
  it('writes constant text and fields, and drops what is below its level', () => {
    const lines: string[] = [];
    const log = createLogger({ write: (line) => lines.push(line) });
    log.debug('not shown');
    log.info('cluster started', { name: 'a', seconds: 2.5, note: 'two words' });
    log.warn('slow');
    expect(lines).toEqual(['cluster started name=a seconds=2.5 note="two words"', 'warn: slow']);
  });

  it('writes one JSON object a line with the time in UTC', () => {
    const lines: string[] = [];
    const now = () => new Date('2026-01-02T03:04:05Z');
    createLogger({ write: (line) => lines.push(line), format: 'json', now }).error('failed', { code: 7 });
    expect(lines).toEqual(['{"time":"2026-01-02T03:04:05.000Z","level":"error","message":"failed","code":7}']);
  });
});
