import { describe, expect, it } from 'vitest';

import { createStepProgress, describeEnd, renderBar } from './step-progress.js';

function setUp(isTerminal: boolean) {
  const written: string[] = [];
  let nowMs = 0;
  const progress = createStepProgress(
    { stderr: (text) => void written.push(text), isTerminal, columns: 60 },
    { prefix: 'bundle: ', now: () => nowMs },
  );
  return {
    progress,
    written,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

describe('createStepProgress without a terminal', () => {
  it('writes one plain line for each step that ended', () => {
    const { progress, written } = setUp(false);
    progress.onStep({ name: 'etcd', state: 'started' });
    progress.onStep({ name: 'etcd', state: 'progress', fraction: 0.5 });
    progress.onStep({ name: 'etcd', state: 'ok', message: 'built', durationMs: 33_120 });
    progress.onStep({ name: 'release downloads', state: 'skipped', message: 'no such host' });
    progress[Symbol.dispose]();
    expect(written).toEqual(['bundle: etcd: built (33.1 s)\n', 'bundle: release downloads: skipped: no such host\n']);
  });

  it('says after five seconds, then every half minute, that a long step is alive', () => {
    const { progress, written, pass } = setUp(false);
    progress.onStep({ name: 'Kubernetes', state: 'started' });
    for (let second = 0; second < 70; second += 1) {
      pass(1000);
      progress.onStep({ name: 'Kubernetes', state: 'progress', message: 'compiling x', fraction: second / 128 });
    }
    progress[Symbol.dispose]();
    expect(written).toEqual([
      'bundle: Kubernetes: 3 %, compiling x (5.0 s so far)\n',
      'bundle: Kubernetes: 26 %, compiling x (35.0 s so far)\n',
      'bundle: Kubernetes: 50 %, compiling x (65.0 s so far)\n',
    ]);
  });
});

describe('createStepProgress on a terminal', () => {
  it('redraws one line that fits, and removes it at the end', () => {
    const { progress, written, pass } = setUp(true);
    progress.onStep({ name: 'etcd', state: 'started', message: 'from somewhere' });
    pass(100);
    progress.onStep({ name: 'etcd', state: 'progress', fraction: 0.5, message: 'x'.repeat(200) });
    progress.onStep({ name: 'etcd', state: 'progress', fraction: 0.51 }); // too soon to be drawn
    progress[Symbol.dispose]();
    expect(written).toHaveLength(3);
    expect(written[1]).toContain('[==========          ]  50% etcd 0.1 s xxx');
    // eslint-disable-next-line no-control-regex -- the escape sequence that erases the line
    for (const text of written) expect(text.replaceAll(/\r|\u001B\[K/g, '').length).toBeLessThan(60);
    expect(written.at(-1)).toBe('\r\u001B[K');
  });

  it('keeps ended steps above the bar', () => {
    const { progress, written } = setUp(true);
    progress.onStep({ name: 'a', state: 'started' });
    progress.onStep({ name: 'b', state: 'started' });
    progress.onStep({ name: 'b', state: 'failed', message: 'no room', durationMs: 10 });
    progress[Symbol.dispose]();
    expect(written.join('')).toContain('\r\u001B[Kbundle: b: failed: no room (0.0 s)\n\r\u001B[K[');
  });
});

describe('renderBar', () => {
  it('stays inside the terminal and on one line', () => {
    const line = renderBar({ name: 'a\nb', message: 'c\u001B[31m', fraction: 7 }, 2, 1500, 80);
    expect(line).toBe('[====================] 100% a b 1.5 s (+2 more) c [31m');
    expect(renderBar({ name: 'abc', message: '', fraction: undefined }, 0, 0, 10)).toHaveLength(9);
    expect(renderBar({ name: 'abc', message: '', fraction: 0 }, 0, 0, 0)).toBe('');
  });
});

describe('describeEnd', () => {
  it('says done when there is nothing else to say', () => {
    expect(describeEnd({ name: 'waiting', state: 'ok' })).toBe('waiting: done');
    expect(describeEnd({ name: 'x', state: 'failed' })).toBe('x: failed');
  });
});
