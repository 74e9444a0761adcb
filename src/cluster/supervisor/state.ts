import type { ProcessIdentity } from '../../process.js';

/**
 * How the supervisor sees its components; it writes this to a file after every change, and others only read it.
 *
 * `starting`: at least one component was not ready yet. `running`: all were ready once; one that dies is started again.
 * `ending`: being ended. `ended`: all gone, in order. `failed`: one died or was not ready in time while starting, and
 * everything was ended.
 */
export interface SupervisorState {
  readonly version: 1;
  readonly supervisor: ProcessIdentity;
  readonly phase: 'starting' | 'running' | 'ending' | 'ended' | 'failed';
  readonly components: readonly SupervisedComponent[];
  readonly failure?: ComponentFailure;
}

export interface SupervisedComponent {
  readonly name: string;
  /** `waiting` for others, or for the pause before the next try. */
  readonly state: 'waiting' | 'started' | 'ready' | 'ended';
  /** Present while it runs. */
  readonly process?: ProcessIdentity;
  /** Starts after the first one. */
  readonly restarts: number;
  /** From its start to its first good answer; of the last start. */
  readonly readyAfterMs?: number;
  /** How it ended last. */
  readonly lastExit?: string;
}

export interface ComponentFailure {
  readonly component: string;
  readonly kind: 'exited' | 'not-ready';
  /** `exit code 1`, or what the probe saw last. */
  readonly seen: string;
}

export type SupervisorEvent =
  | { readonly type: 'started'; readonly name: string; readonly process: ProcessIdentity }
  | { readonly type: 'ready'; readonly name: string; readonly afterMs: number }
  | { readonly type: 'exited'; readonly name: string; readonly how: string }
  | { readonly type: 'failed'; readonly failure: ComponentFailure }
  | { readonly type: 'ending' }
  | { readonly type: 'ended' };

export function initialState(supervisor: ProcessIdentity, names: readonly string[]): SupervisorState {
  return {
    version: 1,
    supervisor,
    phase: 'starting',
    components: names.map((name) => ({ name, state: 'waiting', restarts: 0 })),
  };
}

/** The state after an event. Events of components that are not in the plan change nothing. */
export function nextState(state: SupervisorState, event: SupervisorEvent): SupervisorState {
  switch (event.type) {
    case 'started':
      return change(state, event.name, ({ name, restarts, lastExit }) => ({
        name,
        state: 'started',
        process: event.process,
        restarts: lastExit === undefined ? restarts : restarts + 1,
        ...(lastExit === undefined ? {} : { lastExit }),
      }));
    case 'ready': {
      const next = change(state, event.name, (component) => ({
        ...component,
        state: 'ready',
        readyAfterMs: Math.round(event.afterMs),
      }));
      const isUp = state.phase === 'starting' && next.components.every((component) => component.state === 'ready');
      return isUp ? { ...next, phase: 'running' } : next;
    }
    case 'exited':
      return change(state, event.name, ({ process: _gone, readyAfterMs: _old, ...rest }) => ({
        ...rest,
        state: state.phase === 'running' ? 'waiting' : 'ended',
        lastExit: event.how,
      }));
    case 'failed':
      return state.failure === undefined ? { ...state, phase: 'ending', failure: event.failure } : state;
    case 'ending':
      return { ...state, phase: 'ending' };
    case 'ended':
      return { ...state, phase: state.failure === undefined ? 'ended' : 'failed' };
  }
}

/**
 * Pause before a component that died is started again: 0.1 s, doubled each time, 10 s at most.
 *
 * @param deaths how often it died in a row, 1 for the first; one that had run for a minute starts from 1 again
 */
export function restartDelayMs(deaths: number): number {
  return Math.min(10_000, 100 * 2 ** Math.min(20, Math.max(0, deaths - 1)));
}

/** @returns `undefined` for text that is not a whole state */
export function parseSupervisorState(text: string): SupervisorState | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isState(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isState(value: unknown): value is SupervisorState {
  return (
    typeof value === 'object' &&
    value !== null &&
    'version' in value &&
    value.version === 1 &&
    'supervisor' in value &&
    'components' in value &&
    Array.isArray(value.components)
  );
}

function change(
  state: SupervisorState,
  name: string,
  edit: (component: SupervisedComponent) => SupervisedComponent,
): SupervisorState {
  return {
    ...state,
    components: state.components.map((component) => (component.name === name ? edit(component) : component)),
  };
}
