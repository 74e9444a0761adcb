import type { BundleProgram, BundleStep } from './bundle.js';
import type { Platform, ProgramDefinition } from './catalogue.js';
import type { FileSource } from './manifest.js';
import type { BundleFolders } from './workspace.js';

/** What a source is given to work with. */
export interface SourceContext {
  readonly kubernetesVersion: string;
  readonly platform: Platform;
  readonly folders: BundleFolders;
  /** Of this process, on the file system of the cache. */
  readonly workFolder: string;
  readonly signal: AbortSignal;
  readonly onStep: (step: BundleStep) => void;
  /**
   * Takes over a file that is complete and checked; called for each as soon as it is there, so that an interruption
   * later loses nothing of it.
   */
  readonly keep: (file: ObtainedFile) => Promise<void>;
}

export interface ObtainedFile {
  readonly program: ProgramDefinition;
  /** Of the component. */
  readonly version: string;
  /** In the work folder. */
  readonly path: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly source: FileSource;
}

/**
 * A place that programs come from.
 *
 * A source keeps what it can get and says why it could not get the rest; that is an expected outcome and nothing is
 * thrown. It throws when the work must stop: aborted, disk full, no permission, a sum that does not fit, a compiler that
 * fails.
 */
export interface ProgramSource {
  /** For people, such as `release downloads`. */
  readonly name: string;
  /**
   * @param programs never empty
   * @returns for each program that was not kept, why
   */
  obtain(programs: readonly ProgramDefinition[], context: SourceContext): Promise<ReadonlyMap<BundleProgram, string>>;
}

/** One line for several programs: equal reasons are said once. `etcd, kubectl: HTTP 404`. */
export function summariseReasons(reasons: ReadonlyMap<BundleProgram, string>): string {
  const programsOf = new Map<string, string[]>();
  for (const [program, reason] of reasons) programsOf.set(reason, [...(programsOf.get(reason) ?? []), program]);
  const [only] = programsOf.keys();
  if (programsOf.size === 1 && only !== undefined) return only;
  return [...programsOf].map(([reason, programs]) => `${programs.join(', ')}: ${reason}`).join('; ');
}
