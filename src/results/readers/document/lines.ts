import { cutPoint } from '../../text.js';

/** A longer line is passed on in pieces, so that one line of any length stays within memory. */
export const LINE_LIMIT = 64 * 1024;

/**
 * Cuts text that arrives in pieces into lines. How it was split makes no difference to what comes out.
 *
 * @param emit gets a line without its line end; `partial` when it is a piece and more of the line follows
 */
export class LineCutter {
  readonly #emit: (line: string, partial: boolean) => void;
  #rest = '';

  constructor(emit: (line: string, partial: boolean) => void) {
    this.#emit = emit;
  }

  write(piece: string): void {
    let text = this.#rest === '' ? piece : this.#rest + piece;
    for (;;) {
      const end = text.indexOf('\n');
      const length = end === -1 ? text.length : end;
      if (length > LINE_LIMIT) {
        const cut = cutPoint(text, LINE_LIMIT);
        this.#emit(text.slice(0, cut), true);
        text = text.slice(cut);
        continue;
      }
      if (end === -1) break;
      this.#emit(withoutReturn(text.slice(0, end)), false);
      text = text.slice(end + 1);
    }
    this.#rest = text;
  }

  /** Passes on what is left when the text did not end with a line end. */
  end(): void {
    if (this.#rest !== '') this.#emit(withoutReturn(this.#rest), false);
    this.#rest = '';
  }
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
