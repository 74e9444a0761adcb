import { distanceAtLeast, editDistance, gramCounts, nearLimit } from './clusters.js';
import { signatureOf, type Signature } from './normalise.js';

/** A signature that others may resemble: the first of its cluster. */
export interface Founder {
  readonly id: number;
  readonly text: string;
}

/** Texts longer than this are compared by their beginning: the distance costs their product. */
const LONGEST = 1000;
/** The newest so many founders are looked at, so that a database full of odd messages stays fast to write to. */
const MOST = 3000;

/** Clusters while failures come in: finds the founder that a new signature resembles. In memory, no input or output. */
export class SignatureBook {
  readonly #founders: { readonly id: number; readonly text: string; readonly grams: Uint16Array }[] = [];

  /** @param founders oldest first */
  constructor(founders: Iterable<Founder> = []) {
    for (const founder of founders) this.add(founder);
  }

  add({ id, text }: Founder): void {
    const head = text.slice(0, LONGEST);
    this.#founders.push({ id, text: head, grams: gramCounts(head) });
    if (this.#founders.length > MOST) this.#founders.shift();
  }

  /** @returns id of the founder that the text is a near-duplicate of, the oldest of several */
  find(text: string): number | undefined {
    const head = text.slice(0, LONGEST);
    const grams = gramCounts(head);
    return this.#founders.find((founder) => {
      const limit = nearLimit(founder.text, head);
      return (
        Math.abs(founder.text.length - head.length) <= limit &&
        distanceAtLeast(founder.grams, grams) <= limit &&
        editDistance(founder.text, head, limit) !== undefined
      );
    })?.id;
  }
}

/** Signature of a failure as the store keeps it: its message, and where that says nothing the first telling line of its text. */
export function signatureOfFailure(failure: { readonly message: string; readonly text?: string }): Signature {
  const signature = signatureOf({ message: failure.message });
  if (!signature.weak || failure.text === undefined) return signature;
  for (const line of failure.text.split('\n', 200)) {
    if (!TELLING.test(line) || line.includes(failure.message)) continue;
    const other = signatureOf({ message: line.trim().slice(0, 1000) });
    if (!other.weak) return other;
  }
  return signature;
}

/** Lines that name a cause in the output of Go, Kubernetes and shell programs. */
const TELLING = /\b(?:error|fatal|panic|refused|denied|not found|no such|cannot|failed to|unable to|OOMKilled)\b/i;
