/**
 * Near-duplicates of signatures, as Kubernetes' triage finds them: two texts are one when their edit distance is below a
 * tenth of their mean length, and a count of 4-grams rules most pairs out before the distance is computed.
 *
 * @see {@link https://github.com/kubernetes/test-infra/tree/master/triage}
 */

const GRAM = 4;
const BUCKETS = 64;
const SHARE = 0.1;

/** How often 4-grams fall into each of 64 buckets. */
export function gramCounts(text: string): Uint16Array {
  const counts = new Uint16Array(BUCKETS);
  for (let at = 0; at + GRAM <= text.length; at += 1) {
    let hash = 2_166_136_261;
    for (let index = at; index < at + GRAM; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 16_777_619);
    const bucket = (hash >>> 0) % BUCKETS;
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  }
  return counts;
}

/** Never more than the edit distance: one edit changes at most four 4-grams on each side. */
export function distanceAtLeast(left: Uint16Array, right: Uint16Array): number {
  let difference = 0;
  for (let index = 0; index < BUCKETS; index += 1) difference += Math.abs((left[index] ?? 0) - (right[index] ?? 0));
  return Math.ceil(difference / (2 * GRAM));
}

/**
 * Levenshtein distance if it is at most `limit`, else `undefined`; O(limit · length) by Ukkonen's band.
 */
export function editDistance(left: string, right: string, limit: number): number | undefined {
  if (Math.abs(left.length - right.length) > limit) return undefined;
  let previous = Array.from({ length: right.length + 1 }, (_, index) => (index <= limit ? index : Infinity));
  for (let row = 1; row <= left.length; row += 1) {
    const current = new Array<number>(right.length + 1).fill(Infinity);
    if (row <= limit) current[0] = row;
    const from = Math.max(1, row - limit);
    const to = Math.min(right.length, row + limit);
    let best = current[0] ?? Infinity;
    for (let column = from; column <= to; column += 1) {
      const change = left.charCodeAt(row - 1) === right.charCodeAt(column - 1) ? 0 : 1;
      const value = Math.min(
        (previous[column - 1] ?? Infinity) + change,
        (previous[column] ?? Infinity) + 1,
        (current[column - 1] ?? Infinity) + 1,
      );
      current[column] = value;
      if (value < best) best = value;
    }
    if (best > limit) return undefined;
    previous = current;
  }
  const distance = previous[right.length] ?? Infinity;
  return distance <= limit ? distance : undefined;
}

/** Edits below which two texts are one: a tenth of their mean length. */
export function nearLimit(left: string, right: string): number {
  return Math.floor(((left.length + right.length) / 2) * SHARE);
}

export function areNearDuplicates(left: string, right: string): boolean {
  if (left === right) return true;
  const limit = nearLimit(left, right);
  if (distanceAtLeast(gramCounts(left), gramCounts(right)) > limit) return false;
  return editDistance(left, right, limit) !== undefined;
}

/**
 * Puts each signature to the first cluster whose founder it resembles.
 *
 * @param signatures founders of earlier clusters first, so that ids stay; weak ones must not be among them
 * @returns key of the founder for each key
 */
export function clusterSignatures(
  signatures: readonly { readonly key: string; readonly text: string }[],
): Map<string, string> {
  const founders: { readonly key: string; readonly text: string; readonly grams: Uint16Array }[] = [];
  const clusters = new Map<string, string>();
  for (const { key, text } of signatures) {
    const grams = gramCounts(text);
    const founder = founders.find((candidate) => {
      const limit = nearLimit(candidate.text, text);
      return (
        distanceAtLeast(candidate.grams, grams) <= limit && editDistance(candidate.text, text, limit) !== undefined
      );
    });
    if (founder === undefined) founders.push({ key, text, grams });
    clusters.set(key, founder?.key ?? key);
  }
  return clusters;
}
