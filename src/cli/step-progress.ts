import type { BundleStep } from '../cluster/bundle/index.js';
import type { CliContext } from './command.js';

/** What a progress display needs of the context. */
export type ProgressContext = Pick<CliContext, 'stderr' | 'isTerminal' | 'columns'>;

export interface StepProgress extends Disposable {
  readonly onStep: (step: BundleStep) => void;
}

export interface StepProgressOptions {
  /** Put before each plain line. */
  readonly prefix: string;
  /** Milliseconds that only grow. @default performance.now */
  readonly now?: () => number;
}

/** Without a terminal a step that takes long says that it is alive: first after this time, then at that pace. */
const FIRST_SIGN_MS = 5000;
const HEARTBEAT_MS = 30_000;
/** A terminal is redrawn at most this often. */
const REDRAW_MS = 80;
const BAR_WIDTH = 20;

const TICK_MS = 1000;

/** A step that has begun and not ended. */
interface RunningStep {
  readonly name: string;
  readonly startedAt: number;
  message: string;
  fraction: number | undefined;
  saidAt: number;
}

/**
 * Shows steps on standard error: on a terminal one line with a bar that is redrawn, finished steps above it; otherwise
 * one plain line when a step has ended, and signs of life of steps that take long.
 *
 * Disposing removes the bar.
 */
export function createStepProgress(context: ProgressContext, options: StepProgressOptions): StepProgress {
  const { prefix, now = () => performance.now() } = options;
  const running = new Map<string, RunningStep>();
  let barShown = false;
  let drawnAt = Number.NEGATIVE_INFINITY;

  const eraseBar = (): void => {
    if (barShown) context.stderr('\r\u001B[K');
    barShown = false;
  };
  const drawBar = (): void => {
    const step = [...running.values()].at(-1);
    if (!context.isTerminal || step === undefined) return;
    context.stderr(`\r\u001B[K${renderBar(step, running.size - 1, now() - step.startedAt, context.columns)}`);
    barShown = true;
    drawnAt = now();
  };
  const say = (line: string): void => {
    eraseBar();
    context.stderr(`${prefix}${line}\n`);
  };

  const sayAlive = (): void => {
    for (const step of context.isTerminal ? [] : running.values()) {
      if (now() - step.saidAt < HEARTBEAT_MS) continue;
      step.saidAt = now();
      say(`${step.name}: ${describeRunning(step, now() - step.startedAt)}`);
    }
  };
  // Linking and waiting give no sign of their own for a long time.
  const timer = setInterval(() => {
    sayAlive();
    drawBar();
  }, TICK_MS);
  timer.unref();

  return {
    onStep: (step) => {
      switch (step.state) {
        case 'started':
          running.set(step.name, {
            name: step.name,
            startedAt: now(),
            message: step.message ?? '',
            fraction: undefined,
            saidAt: now() - HEARTBEAT_MS + FIRST_SIGN_MS,
          });
          break;
        case 'progress': {
          const current = running.get(step.name);
          if (current === undefined) break;
          current.message = step.message ?? current.message;
          current.fraction = step.fraction ?? current.fraction;
          sayAlive();
          break;
        }
        case 'ok':
        case 'failed':
        case 'skipped':
          running.delete(step.name);
          say(describeEnd(step));
          break;
      }
      if (step.state !== 'progress' || now() - drawnAt >= REDRAW_MS) drawBar();
    },
    [Symbol.dispose]: () => {
      clearInterval(timer);
      running.clear();
      eraseBar();
    },
  };
}

/** `etcd v3.6.8: built from Go modules (33.1 s)`; failures and skips say so first. */
export function describeEnd({ name, state, message, durationMs }: BundleStep): string {
  const outcome = state === 'ok' ? '' : `${state}${message === undefined ? '' : ': '}`;
  const text = `${outcome}${message ?? (state === 'ok' ? 'done' : '')}`;
  return `${name}: ${text}${durationMs === undefined ? '' : ` (${seconds(durationMs)})`}`;
}

function describeRunning({ message, fraction }: RunningStep, elapsedMs: number): string {
  const share = fraction === undefined ? '' : `${Math.floor(fraction * 100)} %, `;
  return `${share}${message === '' ? 'at work' : message} (${seconds(elapsedMs)} so far)`;
}

/** One line that fits the terminal: bar, step, what it does, time; and how many others run. */
export function renderBar(
  step: { readonly name: string; readonly message: string; readonly fraction: number | undefined },
  others: number,
  elapsedMs: number,
  columns: number,
): string {
  const share = Math.min(1, Math.max(0, step.fraction ?? 0));
  const filled = Math.round(share * BAR_WIDTH);
  const bar = `[${'='.repeat(filled)}${' '.repeat(BAR_WIDTH - filled)}]`;
  const percent = step.fraction === undefined ? '    ' : `${String(Math.floor(share * 100)).padStart(3)}%`;
  const more = others > 0 ? ` (+${others} more)` : '';
  const line = `${bar} ${percent} ${step.name} ${seconds(elapsedMs)}${more} ${step.message}`;
  // One column free: some terminals wrap when the last one is used. Control characters would break the line.
  // eslint-disable-next-line no-control-regex -- exactly those are to be removed
  return line.replaceAll(/[\u0000-\u001F\u007F]/g, ' ').slice(0, Math.max(0, columns - 1));
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}
