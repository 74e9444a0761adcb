import { messageOf } from '../errors.js';
import type { PhaseEvent } from './cluster.js';

/** Tells of the phases of one call. */
export interface Phases {
  /** Runs a phase; its failure is told and thrown on. */
  run<T>(name: string, act: () => Promise<T>): Promise<T>;
  started(name: string): void;
  ended(name: string, durationMs: number, failure?: string): void;
}

export function createPhases(cluster: string, onPhase: ((event: PhaseEvent) => void) | undefined): Phases {
  const started = (name: string): void => onPhase?.({ cluster, name, state: 'started' });
  const ended = (name: string, elapsedMs: number, failure?: string): void => {
    const durationMs = Math.round(elapsedMs);
    onPhase?.(
      failure === undefined
        ? { cluster, name, state: 'ok', durationMs }
        : { cluster, name, state: 'failed', durationMs, message: failure },
    );
  };
  return {
    started,
    ended,
    run: async (name, act) => {
      const startedAt = performance.now();
      started(name);
      try {
        const result = await act();
        ended(name, performance.now() - startedAt);
        return result;
      } catch (error) {
        ended(name, performance.now() - startedAt, messageOf(error));
        throw error;
      }
    },
  };
}

/** One deadline for a whole call; phases take what is left, or a share of the whole when that is less. */
export interface Deadline {
  readonly totalMs: number;
  /** At least 1. @param share of the whole, 0…1. @default 1 */
  leftMs(share?: number): number;
}

export function createDeadline(totalMs: number, now: () => number = () => performance.now()): Deadline {
  const end = now() + totalMs;
  return {
    totalMs,
    leftMs: (share = 1) => Math.max(1, Math.min(end - now(), totalMs * share)),
  };
}
