import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  initialState,
  nextState,
  parseSupervisorState,
  restartDelayMs,
  type SupervisorEvent,
  type SupervisorState,
} from './state.js';

const ME = { pid: 1, startedAt: 'x' };

function after(...events: SupervisorEvent[]): SupervisorState {
  return events.reduce(nextState, initialState(ME, ['etcd', 'api']));
}
const started = (name: string, pid = 7): SupervisorEvent => ({
  type: 'started',
  name,
  process: { pid, startedAt: '' },
});
const ready = (name: string): SupervisorEvent => ({ type: 'ready', name, afterMs: 12.4 });
const up = [started('etcd'), ready('etcd'), started('api'), ready('api')] as const;

describe('nextState', () => {
  it('runs once every component was ready', () => {
    expect(after(started('etcd'), ready('etcd'), started('api')).phase).toBe('starting');
    expect(after(...up)).toMatchObject({ phase: 'running', components: [{ readyAfterMs: 12 }, { state: 'ready' }] });
  });

  it('counts starts after a death, not the first start', () => {
    const died = after(...up, { type: 'exited', name: 'api', how: 'ended by SIGKILL' });
    expect(died.components[1]).toEqual({ name: 'api', state: 'waiting', restarts: 0, lastExit: 'ended by SIGKILL' });
    const again = nextState(nextState(died, started('api', 8)), ready('api'));
    expect(again).toMatchObject({ phase: 'running' });
    expect(again.components[1]).toMatchObject({ state: 'ready', restarts: 1, process: { pid: 8 } });
  });

  it('keeps the first failure, and fails only when all is ended', () => {
    const failure = { component: 'api', kind: 'exited', seen: 'exit code 1' } as const;
    const failing = after(
      started('etcd'),
      { type: 'failed', failure },
      { type: 'failed', failure: { ...failure, component: 'etcd' } },
    );
    expect(failing).toMatchObject({ phase: 'ending', failure: { component: 'api' } });
    expect(nextState(failing, { type: 'ended' }).phase).toBe('failed');
  });

  it('does not wait for the next start of what is being ended', () => {
    const ended = after(...up, { type: 'ending' }, { type: 'exited', name: 'api', how: 'exit code 0' });
    expect(ended.components[1]?.state).toBe('ended');
    expect(nextState(ended, { type: 'ended' }).phase).toBe('ended');
  });

  it('never loses a component, never changes what it was given, and can be read back', () => {
    const name = fc.constantFrom('etcd', 'api', 'nobody');
    const event: fc.Arbitrary<SupervisorEvent> = fc.oneof(
      name.map((value) => started(value)),
      name.map(ready),
      name.map((value): SupervisorEvent => ({ type: 'exited', name: value, how: 'x' })),
      fc.constant<SupervisorEvent>({ type: 'ending' }),
      fc.constant<SupervisorEvent>({ type: 'ended' }),
    );
    fc.assert(
      fc.property(fc.array(event), (events) => {
        let state = initialState(ME, ['etcd', 'api']);
        for (const each of events) {
          const before = JSON.stringify(state);
          const next = nextState(state, each);
          expect(JSON.stringify(state)).toBe(before);
          state = next;
        }
        expect(state.components.map((component) => component.name)).toEqual(['etcd', 'api']);
        expect(parseSupervisorState(JSON.stringify(state))).toEqual(state);
      }),
    );
  });
});

describe('parseSupervisorState', () => {
  it.each(['', '{', 'null', '[]', '{"version":2}', '{"version":1,"supervisor":{}}'])('does not take %j', (text) => {
    expect(parseSupervisorState(text)).toBeUndefined();
  });
});

describe('restartDelayMs', () => {
  it('doubles from 0.1 s to 10 s', () => {
    expect([1, 2, 3, 7, 8, 1000].map(restartDelayMs)).toEqual([100, 200, 400, 6400, 10_000, 10_000]);
  });
});
