/** Longest piece of a line that is given out; longer lines come in pieces (events.ts, `TestOutput.partial`). */
export const MAX_PIECE = 64 * 1024;

/** Held back from a piece so that a result marker at its edge is not cut in two. */
const OVERLAP = 1024;

/** Takes a line, or a piece of one that is too long (`partial`: more of the same line follows). */
export type TakeLine = (line: string, partial: boolean) => void;

/** Joins chunks of text to lines; a line end may be CR LF. */
export interface LineJoiner {
  /** Gives out every line that ends in the chunk. */
  write(chunk: string): void;
  /** Gives out the rest as a line. */
  flush(): void;
  /** Characters of the line that has not ended. */
  readonly pending: number;
}

export function createLineJoiner(take: TakeLine): LineJoiner {
  let rest = '';
  // The last character of the rest is a CR that may belong to a line end; looked at in the chunk, as looking into a
  // string that was just joined makes V8 copy it.
  let endsInCr = false;

  function givePieces(): void {
    while (rest.length - (endsInCr ? 1 : 0) > MAX_PIECE + OVERLAP) {
      // A pair of surrogates stays together.
      const code = rest.charCodeAt(MAX_PIECE - 1);
      const length = code >= 0xd800 && code <= 0xdbff ? MAX_PIECE - 1 : MAX_PIECE;
      const piece = rest.slice(0, length);
      rest = rest.slice(length);
      take(piece, true);
    }
  }

  return {
    write(chunk) {
      let from = 0;
      for (let at = chunk.indexOf('\n'); at >= 0; at = chunk.indexOf('\n', from)) {
        const end = at > from && chunk.charCodeAt(at - 1) === 13 ? at - 1 : at;
        const piece = chunk.slice(from, end);
        from = at + 1;
        if (rest === '') {
          if (piece.length <= MAX_PIECE + OVERLAP) {
            take(piece, false);
            continue;
          }
          rest = piece;
        } else {
          if (endsInCr && at === 0) rest = rest.slice(0, -1);
          rest += piece;
        }
        endsInCr = false;
        givePieces();
        const line = rest;
        rest = '';
        take(line, false);
      }
      if (from < chunk.length) {
        rest += from === 0 ? chunk : chunk.slice(from);
        endsInCr = chunk.charCodeAt(chunk.length - 1) === 13;
        givePieces();
      }
    },
    flush() {
      if (rest === '') return;
      const line = endsInCr ? rest.slice(0, -1) : rest;
      rest = '';
      endsInCr = false;
      take(line, false);
    },
    get pending() {
      return rest.length;
    },
  };
}
