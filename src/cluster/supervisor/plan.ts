import type { Labels } from '../../process.js';

/**
 * What the supervisor is told: a file, rendered anew at every start of the cluster. The supervisor knows nothing of
 * Kubernetes; it starts programs in order, asks addresses whether they are ready, and keeps the programs running.
 */
export interface SupervisorPlan {
  readonly version: 1;
  /** In order of start; they are ended in reverse. */
  readonly components: readonly ComponentPlan[];
  /** Where {@link SupervisorState} is written. */
  readonly stateFile: string;
  readonly logsFolder: string;
  /** A component's log is moved to `<name>.log.1` when it has grown to this. */
  readonly logBytes: number;
  /** How long one component may take from its start until it is ready, while the cluster starts. */
  readonly readyTimeoutMs: number;
}

export interface ComponentPlan {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly labels: Labels;
  /** Beside the environment of the supervisor, which wins. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Components that must be ready first. */
  readonly after: readonly string[];
  /** Answers 200 when it is ready. */
  readonly ready: ReadyProbe;
  /** From SIGTERM to SIGKILL. */
  readonly stopTimeoutMs: number;
}

export interface ReadyProbe {
  /** `http:` or `https:`. */
  readonly url: string;
  /** Files with PEM content, for `https:`. */
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
}
