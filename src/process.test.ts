import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  exitCodeOfSignal,
  formatIdentity,
  formatLabels,
  identifyProcess,
  identifySelf,
  isAlive,
  parseIdentity,
  parseLabels,
  signalGroup,
} from './process.js';

describe('labels', () => {
  it('survive the way through an environment variable', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z-]{1,10}$/), fc.string({ unit: 'grapheme' })), (labels) => {
        expect({ ...parseLabels(formatLabels(labels)) }).toEqual({ ...labels });
      }),
    );
  });

  it('are read from whatever text somebody put there', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseLabels(text);
      }),
    );
  });
});

describe('identity', () => {
  it('of this process is alive, and survives being written down', () => {
    const self = identifySelf();
    expect(isAlive(self)).toBe(true);
    expect(parseIdentity(formatIdentity(self))).toEqual(self);
  });

  it('of a reused number is not alive', () => {
    expect(isAlive({ pid: process.pid, startedAt: '1@other' })).toBe(false);
  });

  it('of a number nobody has is none', () => {
    expect(identifyProcess(2 ** 22 + 7)).toBeUndefined();
    expect(parseIdentity('nobody')).toBeUndefined();
  });
});

describe('signals', () => {
  it('are never sent to init, to every process or to our own group', () => {
    for (const pid of [1, 0, -1]) expect(() => signalGroup(pid, 'SIGTERM')).toThrow(RangeError);
  });

  it('give the exit codes of the shells', () => {
    expect([exitCodeOfSignal('SIGINT'), exitCodeOfSignal('SIGTERM'), exitCodeOfSignal('SIGKILL')]).toEqual([
      130, 143, 137,
    ]);
  });
});
