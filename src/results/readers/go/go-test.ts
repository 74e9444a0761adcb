import type { Status, TestId } from '../../model.js';
import type { FailureLines } from './failure-lines.js';

/** A test of the package while its process runs. */
export interface GoTest {
  readonly id: TestId;
  isOpen: boolean;
  /** Only mentioned so far; the `run` that follows is the start of the same attempt. */
  isImplied: boolean;
  /** Waits for its turn beside other parallel tests. */
  isPaused: boolean;
  /** A result read from the text, for the case that no event brings one. */
  seen: { readonly status: Status; readonly seconds: number | undefined; readonly isGlued: boolean } | undefined;
  /** Lines of the open attempt that may say why it failed. */
  lines: FailureLines | undefined;
}
