import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ERROR_CATALOGUE, MkCiError, hostErrorOf, isMkCiError, redactSecrets, type ErrorEntry } from './errors.js';

const entries: [string, ErrorEntry][] = Object.entries(ERROR_CATALOGUE);

describe('the catalogue', () => {
  it.each(entries)('%s has a one-line summary, advice and an exit code of its origin', (code, entry) => {
    expect(entry.summary).toMatch(/^[^\n]{5,80}[^.\n]$/);
    expect(entry.advice).toMatch(/^[A-Z][^\n]+\.$/);
    const decades: Record<string, readonly number[]> = {
      CLI: [10],
      CFG: [10],
      RES: [10],
      HOST: [30],
      BND: [10, 30],
      IMG: [30, 50],
      DRV: [50],
      NET: [70],
      K8S: [80, 90, 100],
      RPT: [10],
      RUN: [0, 10, 30, 50, 80],
      DB: [10, 30],
      SRV: [10, 30],
      GH: [110],
    };
    const decade = Math.floor(entry.exitCode / 10) * 10;
    expect(decades[code.split('_')[0] ?? '']).toContain(decade);
  });

  it('never uses exit codes that shells reserve, nor 0', () => {
    for (const [, { exitCode }] of entries) {
      expect(exitCode).toBeGreaterThan(0);
      expect(exitCode).toBeLessThan(126);
    }
  });
});

describe('MkCiError', () => {
  it('joins the summary and the occasion, and keeps cause and details', () => {
    const cause = new Error('inner');
    const error = new MkCiError('DRV_UNKNOWN', { message: "'dokcer'", cause, details: { driver: 'dokcer' } });
    expect(error.message).toBe("There is no such driver: 'dokcer'");
    expect(error.exitCode).toBe(54);
    expect(error.cause).toBe(cause);
    expect(error.details).toEqual({ driver: 'dokcer' });
    expect(isMkCiError(error, 'DRV_UNKNOWN')).toBe(true);
    expect(isMkCiError(error, 'DRV_FAILED')).toBe(false);
    expect(isMkCiError(cause)).toBe(false);
  });

  it('removes secrets from message, advice and details', () => {
    const token = `ghp_${'a1B2'.repeat(9)}`;
    const error = new MkCiError('GH_FAILED', {
      message: token,
      advice: `Use ${token}.`,
      details: { header: `Bearer ${token}` },
    });
    expect(JSON.stringify([error.message, error.advice, error.details])).not.toContain(token);
  });
});

describe('redactSecrets', () => {
  it('hides tokens, passwords in URLs and private keys, and leaves the rest', () => {
    expect(redactSecrets('postgres://me:hunter2@db/x')).toBe('postgres://me:***@db/x');
    expect(redactSecrets('authorization: Bearer abcdefgh12345')).toBe('authorization: Bearer ***');
    expect(redactSecrets('-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----')).toBe('***');
    expect(redactSecrets('http://127.0.0.1:6443/readyz?a=b@c')).toBe('http://127.0.0.1:6443/readyz?a=b@c');
  });

  it('changes nothing the second time', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const once = redactSecrets(text);
        expect(redactSecrets(once)).toBe(once);
      }),
    );
  });
});

describe('hostErrorOf', () => {
  it('names a full disk and a refused path, and nothing else', () => {
    const system = (code: string) => Object.assign(new Error(code), { code });
    expect(hostErrorOf(system('ENOSPC'), '/out')?.code).toBe('HOST_DISK_FULL');
    expect(hostErrorOf(system('EROFS'), '/out')?.code).toBe('HOST_PERMISSION');
    expect(hostErrorOf(system('ENOENT'), '/out')).toBeUndefined();
    expect(hostErrorOf('text', '/out')).toBeUndefined();
  });
});
