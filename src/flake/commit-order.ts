/** By first-parent numbers where all are known, else as they are: in the order of first runs. Sorts in place. */
export function inCommitOrder<T extends { readonly position?: number }>(commits: T[]): T[] {
  return commits.every(({ position }) => position !== undefined)
    ? commits.sort((left, right) => (left.position ?? 0) - (right.position ?? 0))
    : commits;
}
