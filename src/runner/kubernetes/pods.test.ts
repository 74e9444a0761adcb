import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { imageProblem, judgeCells, parseIndexes, readJob, readPods, type TrackedPod } from './pods.js';

const JOB = { uid: 'j', failedIndexes: [] };
const pod = (name: string, rest: Partial<TrackedPod> = {}): TrackedPod => ({
  name,
  uid: name,
  index: 0,
  createdAt: '2026-11-21T20:00:00Z',
  phase: 'Running',
  stream: 'open',
  ...rest,
});

describe('cells of a Job', () => {
  it('wait for their pod, run in it, and are done when it has sent everything', () => {
    expect(judgeCells(1, [], JOB)).toEqual([{ kind: 'waiting' }]);
    expect(judgeCells(1, [pod('a', { phase: 'Pending', stream: 'none' })], JOB)).toEqual([{ kind: 'waiting' }]);
    expect(judgeCells(1, [pod('a', { stream: 'none' })], JOB)).toEqual([{ kind: 'running' }]);
    expect(judgeCells(1, [pod('a')], JOB)).toEqual([{ kind: 'running' }]);
    expect(judgeCells(1, [pod('a', { stream: 'whole' })], JOB)).toEqual([{ kind: 'done', pod: 'a' }]);
  });

  it('wait for another pod when theirs was lost, and count once', () => {
    const lost = pod('a', { stream: 'lost', ended: 'deleted' });
    const next = pod('b', { createdAt: '2026-11-21T20:00:09Z' });
    expect(judgeCells(1, [lost], JOB)).toEqual([{ kind: 'waiting' }]);
    expect(judgeCells(1, [lost, next], JOB)).toEqual([{ kind: 'running' }]);
    expect(judgeCells(1, [lost, { ...next, stream: 'whole' }], JOB)).toEqual([{ kind: 'done', pod: 'b' }]);
  });

  it('are lost when no pod will come any more, with the reason', () => {
    const lost = pod('a', { stream: 'lost', node: 'n1', phase: 'Failed', ended: 'OOMKilled with exit code 137' });
    expect(judgeCells(1, [lost], { ...JOB, failedIndexes: [0] })).toEqual([
      { kind: 'lost', why: 'a on n1: OOMKilled with exit code 137', pod: 'a' },
    ]);
    expect(judgeCells(1, [lost], { ...JOB, failed: 'DeadlineExceeded' })).toMatchObject([{ why: 'DeadlineExceeded' }]);
    expect(judgeCells(1, [], undefined)).toEqual([{ kind: 'lost', why: 'the Job was deleted' }]);
    // Kubernetes is content with this pod, and makes no other one.
    expect(judgeCells(1, [pod('a', { stream: 'lost', phase: 'Succeeded' })], JOB)).toMatchObject([
      { kind: 'lost', why: 'the log of pod a can not be read to its end' },
    ]);
  });

  it('have one verdict each, whatever came in which order; a whole pod always counts and no other one', () => {
    const anyPod = fc.record({
      name: fc.stringMatching(/^[a-z]{3}$/),
      index: fc.nat(2),
      createdAt: fc.constantFrom('2026-11-21T20:00:00Z', '2026-11-21T20:00:01Z'),
      phase: fc.constantFrom('Pending', 'Running', 'Succeeded', 'Failed'),
      stream: fc.constantFrom('none', 'open', 'whole', 'lost'),
    });
    const pods = fc.uniqueArray(anyPod, { selector: ({ name }) => name, maxLength: 8 });
    const job = fc.option(fc.record({ uid: fc.constant('j'), failedIndexes: fc.subarray([0, 1, 2]) }), {
      nil: undefined,
    });
    fc.assert(
      fc.property(pods, job, (given, asked) => {
        const all = given.map((one) => ({ ...one, uid: one.name }));
        const verdicts = judgeCells(3, all, asked);
        expect(verdicts).toEqual(judgeCells(3, all.toReversed(), asked));
        for (const [index, verdict] of verdicts.entries()) {
          const whole = all.filter((one) => one.index === index && one.stream === 'whole').map(({ name }) => name);
          if (whole.length > 0) expect(verdict.kind === 'done' && whole.includes(verdict.pod)).toBe(true);
          else expect(verdict.kind).not.toBe('done');
        }
      }),
    );
  });
});

describe('what the API says', () => {
  it('is read: index, node, why a container waits or ended', () => {
    const item = {
      metadata: {
        name: 'p',
        uid: 'u',
        creationTimestamp: '2026-11-21T20:00:00Z',
        annotations: { 'batch.kubernetes.io/job-completion-index': '4' },
      },
      spec: { nodeName: 'n1' },
      status: {
        phase: 'Pending',
        containerStatuses: [{ state: { waiting: { reason: 'ErrImageNeverPull', message: 'm' } } }],
      },
    };
    const pods = readPods({ items: [item] });
    expect(pods).toEqual([
      {
        name: 'p',
        uid: 'u',
        index: 4,
        createdAt: '2026-11-21T20:00:00Z',
        phase: 'Pending',
        node: 'n1',
        waiting: { reason: 'ErrImageNeverPull', message: 'm' },
      },
    ]);
    expect(imageProblem(pods)).toBe('ErrImageNeverPull: m');
    expect(imageProblem([])).toBeUndefined();
  });

  it('is read of a Job: indexes that failed are not the failure of all', () => {
    const condition = (reason: string): object => ({ type: 'Failed', status: 'True', reason });
    const job = (status: object): object => ({ metadata: { uid: 'u' }, status });
    expect(readJob(job({ failedIndexes: '0,2-3', conditions: [condition('FailedIndexes')] }))).toEqual({
      uid: 'u',
      failedIndexes: [0, 2, 3],
    });
    expect(readJob(job({ conditions: [condition('DeadlineExceeded')] })).failed).toBe('DeadlineExceeded');
  });

  it('names indexes in ranges', () => {
    expect(parseIndexes('1,3-5,7')).toEqual([1, 3, 4, 5, 7]);
    expect(parseIndexes(undefined)).toEqual([]);
    expect(parseIndexes('5-3,x')).toEqual([]);
  });
});
