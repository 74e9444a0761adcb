import { describe, expect, it } from 'vitest';

import type { SignatureRow } from '../store/store.js';
import { signatureOfFailure, SignatureBook } from './book.js';
import { incidentsOf } from './incidents.js';

function row(test: string, key: string, more: Partial<SignatureRow> = {}): SignatureRow {
  return {
    repository: 'o/r',
    environment: 'docker',
    package: 'p',
    test,
    key,
    text: `text of ${key}`,
    weak: false,
    failures: 1,
    commits: 1,
    firstAtMs: 10,
    lastAtMs: 20,
    bornAtMs: 10,
    ...more,
  };
}

describe('incidentsOf', () => {
  it('joins a signature over tests and environments, and leaves out those of one or two tests', () => {
    const rows = [
      row('A', 'k', { failures: 4, firstAtMs: 5 }),
      row('B', 'k', { environment: 'podman', lastAtMs: 90 }),
      row('B', 'k'),
      row('C', 'k'),
      row('A', 'other'),
      row('B', 'other'),
    ];
    expect(incidentsOf(rows)).toEqual([
      {
        key: 'k',
        text: 'text of k',
        tests: ['p A', 'p B', 'p C'],
        environments: ['docker', 'podman'],
        failures: 7,
        firstAtMs: 5,
        lastAtMs: 90,
      },
    ]);
  });

  it('makes no incident of messages that name no cause', () => {
    expect(incidentsOf(['A', 'B', 'C', 'D'].map((test) => row(test, 'k', { weak: true })))).toEqual([]);
  });
});

describe('signatureOfFailure', () => {
  it('looks into the text when the message says nothing', () => {
    const failure = { message: 'exit status 1', text: 'start\nexit status 1\nError: image ghcr.io/x not found\nend' };
    expect(signatureOfFailure(failure)).toMatchObject({ weak: false, text: 'Error: image ghcr.io/x not found' });
  });

  it('stays weak when the text says nothing either', () => {
    expect(signatureOfFailure({ message: 'exit status 1', text: 'Error:\nerror' })).toMatchObject({ weak: true });
  });
});

describe('SignatureBook', () => {
  it('finds the oldest founder within a tenth of the length, and nothing else', () => {
    const book = new SignatureBook([
      { id: 1, text: 'the quick brown fox jumps over the lazy dog' },
      { id: 2, text: 'the quick brown fox jumps over the lazy cat' },
    ]);
    expect(book.find('the quick brown fox jumps over the lazy cow')).toBe(1);
    expect(book.find('the slow red fox crawls under a lively dog')).toBeUndefined();
    expect(book.find('')).toBeUndefined();
  });
});
