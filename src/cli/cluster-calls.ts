import type { ClusterCallOptions, ClusterManager, PhaseEvent } from '../cluster/cluster.js';
import { MkCiError } from '../errors.js';
import type { CliContext } from './command.js';

/** What the commands that change one cluster have in common. */

export interface ActFlags {
  readonly timeout?: number;
  readonly json?: boolean;
  readonly dryRun?: boolean;
}

export function callOptions(flags: ActFlags, context: CliContext): ClusterCallOptions {
  return {
    signal: context.signal,
    ...(flags.timeout === undefined ? {} : { deadlineMs: flags.timeout * 1000 }),
    onPhase: (event) => {
      const line = renderPhase(event);
      if (line !== undefined) context.stderr(line);
    },
  };
}

/** One plain line when a phase ended. */
function renderPhase({ cluster, name, state, durationMs = 0, message }: PhaseEvent): string | undefined {
  if (state === 'started') return undefined;
  const seconds = `${(durationMs / 1000).toFixed(1)} s`;
  return state === 'ok'
    ? `${cluster}: ${name} (${seconds})\n`
    : `${cluster}: ${name} failed after ${seconds}: ${message ?? ''}\n`;
}

export function sayPlan(name: string, state: string, does: string): string {
  return `${name}: ${state}, ${does === 'nothing' ? 'nothing to do' : `would ${does}`}\n`;
}

export async function stateOrAbsent(
  manager: Pick<ClusterManager, 'status'>,
  name: string,
  signal: AbortSignal,
): Promise<string> {
  try {
    return (await manager.status(name, signal)).state;
  } catch (error) {
    if (error instanceof MkCiError && error.code === 'K8S_CLUSTER_NOT_FOUND') return 'absent';
    throw error;
  }
}

export function printData(data: unknown): string {
  return `${JSON.stringify(data, undefined, 2)}\n`;
}

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (seconds > 0 && seconds <= 86_400) return seconds;
  throw new MkCiError('CLI_USAGE', { message: `'${text}' is not a time from 1 to 86400 seconds` });
}
