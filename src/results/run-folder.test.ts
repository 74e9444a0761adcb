import { describe, expect, it } from 'vitest';

import { folderNameOf, runFolderAt, runIdOf } from './run-folder.js';

describe('run folder', () => {
  it('names runs so that they sort by time', () => {
    expect(runIdOf(new Date('2026-11-21T10:15:00.123Z'), 'ab12cdef')).toBe('20261121-101500-ab12cd');
  });

  it('has the layout that docs/running.md shows', () => {
    const folder = runFolderAt('/out/r1');
    expect(folder.attempt('local.e2e', 2)).toEqual({
      root: '/out/r1/cells/local.e2e/attempt-2',
      relative: 'cells/local.e2e/attempt-2',
      stdout: '/out/r1/cells/local.e2e/attempt-2/stdout.log',
      stderr: '/out/r1/cells/local.e2e/attempt-2/stderr.log',
      artifacts: '/out/r1/cells/local.e2e/attempt-2/artifacts',
    });
    expect(folder.cluster('local')).toBe('/out/r1/clusters/local');
  });

  it('makes any name a single path part', () => {
    expect(folderNameOf('a/b\\c d')).toBe('a-b-c-d');
    expect(folderNameOf('..')).toBe('_..');
    expect(folderNameOf('')).toBe('_');
  });
});
