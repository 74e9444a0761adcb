import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { severityOf, timeOf } from './line.js';

const iso = (line: string): string | undefined => {
  const time = timeOf(line, 2026);
  return time === undefined ? undefined : new Date(time.at).toISOString();
};

describe('times of lines', () => {
  it.each([
    ['I0914 09:30:12.678901    2201 reconciler.go:224] attached', '2026-09-14T09:30:12.678Z'],
    ['        \t* E0531 11:49:16.291386    2237 docker.go:633] x', '2026-05-31T11:49:16.291Z'],
    ['2026-09-14T09:30:12.5Z stdout F hello', '2026-09-14T09:30:12.500Z'],
    ['2026-09-14T11:30:12+02:00 hello', '2026-09-14T09:30:12.000Z'],
    ['time="2026-09-14T09:30:12.123456789Z" level=info msg=x', '2026-09-14T09:30:12.123Z'],
    ['2026/09/14 09:30:12 listening', '2026-09-14T09:30:12.000Z'],
    ['{"level":"warn","ts":"2026-09-14T09:30:12.001Z","caller":"etcd"}', '2026-09-14T09:30:12.001Z'],
    ['Sep 14 09:30:12 minikube kubelet[2201]: hello', '2026-09-14T09:30:12.000Z'],
  ])('reads %s', (line, expected) => {
    expect(iso(line)).toBe(expected);
  });

  it.each(['no time', '99:99:99', '2026-13-40T09:30:12Z', 'took 09:30:12', ''])('finds none in %j', (line) => {
    expect(iso(line)).toBeUndefined();
  });

  it('says where the time stands', () => {
    const line = 'a 2026-09-14T09:30:12Z b';
    const time = timeOf(line, 2026)!;
    expect(line.slice(time.start, time.end)).toBe('2026-09-14T09:30:12Z');
  });

  it('covers the whole time of klog', () => {
    const line = 'I0914 09:30:12.678901    2201 a.go:1] x';
    const time = timeOf(line, 2026)!;
    expect(line.slice(time.start, time.end)).toBe('I0914 09:30:12.678901');
  });

  it('never throws and stays inside the line', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), (line) => {
        const time = timeOf(line, 2026);
        if (time !== undefined) expect(time.end).toBeLessThanOrEqual(line.length);
      }),
    );
  });
});

describe('severities of lines', () => {
  it.each([
    ['--- FAIL: TestX (0.1s)', 'fail'],
    ['panic: runtime error: index out of range', 'fail'],
    ['WARNING: DATA RACE', 'fail'],
    ['    x_test.go:12: expected 1, got 2', 'fail'],
    ['F0914 09:30:12.678901    1 main.go:1] gone', 'fail'],
    ['E0914 09:30:12.678901    1 main.go:1] bad', 'error'],
    ['time="2026-09-14T09:30:12Z" level=error msg=x', 'error'],
    ['exit status 1', 'error'],
    ['W0914 09:30:12.678901    1 main.go:1] hm', 'warning'],
    ['I0914 09:30:12.678901    1 main.go:1] Error: no error of its own', 'info'],
    ['    x_test.go:12: created pod', 'none'],
    ['--- PASS: TestX (0.1s)', 'none'],
  ] as const)('judges %s as %s', (line, expected) => {
    expect(severityOf(line)).toBe(expected);
  });

  it('judges a line of a megabyte by its start', () => {
    expect(severityOf(`fine ${'x'.repeat(1_000_000)} panic: `)).toBe('none');
  });
});
