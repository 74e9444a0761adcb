/** What {@link steadyClock} reads. */
export interface ClockSources {
  /** Milliseconds of the wall clock, which somebody may set. @default Date.now */
  readonly wall?: () => number;
  /** Milliseconds since any moment, never going back. @default performance.now */
  readonly monotonic?: () => number;
}

/**
 * A clock that reads the wall clock once and then goes on by itself: what is set, corrected or stepped afterwards changes
 * neither the order of its times nor the distance between two of them. For the times of one run, which readers of its
 * record subtract from each other.
 *
 * Where the monotonic clock stands still while the host sleeps (Linux), so does this one.
 */
export function steadyClock({
  wall = () => Date.now(),
  monotonic = () => performance.now(),
}: ClockSources = {}): () => Date {
  const offset = wall() - monotonic();
  return () => new Date(offset + monotonic());
}
