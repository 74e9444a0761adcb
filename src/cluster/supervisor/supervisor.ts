import { randomBytes } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../errors.js';
import { identifySelf } from '../../process.js';
import { endComponent, findParentDeathCommand, rotateLog, startComponent, type Component } from './component.js';
import type { ComponentPlan, SupervisorPlan } from './plan.js';
import { createProbe } from './probe.js';
import { initialState, nextState, restartDelayMs, type SupervisorEvent, type SupervisorState } from './state.js';

const PROBE_INTERVAL_MS = 40;
const LOG_CHECK_MS = 5000;
const SETTLED_MS = 60_000;

/**
 * Starts the components of a plan and keeps them running until `stop` is aborted or one of them fails while starting.
 * Then all of them are ended in reverse order, each with its own limit.
 *
 * @returns the last state: `ended` or `failed`
 */
export async function supervise(plan: SupervisorPlan, stop: AbortSignal): Promise<SupervisorState> {
  let state = initialState(
    identifySelf(),
    plan.components.map((component) => component.name),
  );
  const parentDeath = findParentDeathCommand();
  const running = new Map<string, Component>();
  const ready = new Map<string, PromiseWithResolver>(plan.components.map(({ name }) => [name, promiseWithResolver()]));
  const failed = new AbortController();
  const ending = AbortSignal.any([stop, failed.signal]);

  const emit = (event: SupervisorEvent): void => {
    state = nextState(state, event);
    writeState(plan.stateFile, state);
    if (event.type === 'failed') failed.abort();
  };
  writeState(plan.stateFile, state);

  const waitUntilReady = async (component: ComponentPlan, startedAt: number, life: AbortSignal): Promise<void> => {
    const ask = createProbe(component.ready);
    for (;;) {
      const answer = await ask();
      if (hasEnded(life)) return;
      const elapsedMs = performance.now() - startedAt;
      if (answer.ready) {
        emit({ type: 'ready', name: component.name, afterMs: elapsedMs });
        ready.get(component.name)?.resolve();
        return;
      }
      if (state.phase === 'starting' && elapsedMs > plan.readyTimeoutMs) {
        emit({ type: 'failed', failure: { component: component.name, kind: 'not-ready', seen: answer.seen } });
        return;
      }
      // Once everything ran, a slow restart costs nobody a start-up: ask less often.
      await delay(state.phase === 'starting' ? PROBE_INTERVAL_MS : 250);
    }
  };

  const keep = async (component: ComponentPlan): Promise<void> => {
    await Promise.race([
      Promise.all(component.after.flatMap((name) => ready.get(name)?.promise ?? [])),
      untilAborted(ending),
    ]);
    for (let deaths = 0; !ending.aborted;) {
      const startedAt = performance.now();
      const started = await startComponent(component, plan.logsFolder, parentDeath).catch((error: unknown) => error);
      let how: string;
      if (isComponent(started)) {
        running.set(component.name, started);
        emit({ type: 'started', name: component.name, process: started.identity });
        const life = new AbortController();
        void waitUntilReady(component, startedAt, life.signal);
        // Ended while it was being started: the loop below that ends all did not see it.
        if (hasEnded(ending)) await endComponent(started, component.stopTimeoutMs);
        how = await started.exited;
        life.abort();
        running.delete(component.name);
      } else {
        how = messageOf(started);
      }
      const wasStarting = state.phase === 'starting';
      emit({ type: 'exited', name: component.name, how });
      if (hasEnded(ending)) return;
      if (wasStarting) {
        emit({ type: 'failed', failure: { component: component.name, kind: 'exited', seen: how } });
        return;
      }
      deaths = performance.now() - startedAt > SETTLED_MS ? 1 : deaths + 1;
      await delay(restartDelayMs(deaths), undefined, { signal: ending }).catch(() => undefined);
    }
  };

  const logs = setInterval(() => {
    for (const { name } of plan.components) rotateLog(plan.logsFolder, name, plan.logBytes);
  }, LOG_CHECK_MS);
  const keepers = plan.components.map(keep);
  await untilAborted(ending);
  if (state.phase !== 'ending') emit({ type: 'ending' });
  for (const component of plan.components.toReversed()) {
    const process = running.get(component.name);
    if (process !== undefined) await endComponent(process, component.stopTimeoutMs);
  }
  await Promise.all(keepers);
  clearInterval(logs);
  emit({ type: 'ended' });
  return state;
}

interface PromiseWithResolver {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

function promiseWithResolver(): PromiseWithResolver {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

function isComponent(value: unknown): value is Component {
  return typeof value === 'object' && value !== null && 'identity' in value && 'exited' in value;
}

/** A call, because a signal changes while the compiler believes what it saw before an `await`. */
function hasEnded(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        resolve();
      },
      { once: true },
    );
  });
}

/** Readers see a whole state. It is not synced: the processes it tells of do not survive a power cut either. */
function writeState(path: string, state: SupervisorState): void {
  const temporary = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    writeFileSync(temporary, JSON.stringify(state), { mode: 0o600 });
    renameSync(temporary, path);
  } catch (error) {
    // Full disk, or the folder was deleted under us: the components matter more. It is in the supervisor's log.
    console.error(`state not written: ${messageOf(error)}`);
  }
}
