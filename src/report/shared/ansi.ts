/** Terminal colours as data: text pieces with a style, for the page to build elements from. */

/** A palette number 0…255, or `#rrggbb`. */
export type Colour = number | string;

export interface Style {
  readonly foreground?: Colour;
  readonly background?: Colour;
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly italic?: boolean;
  readonly underline?: boolean;
  readonly inverse?: boolean;
  readonly strike?: boolean;
}

export interface Piece {
  readonly text: string;
  readonly style: Style;
}

// CSI … final byte; OSC … BEL or ST (links, titles); other two-byte escapes.

const SEQUENCE =
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  /\u001b\[([0-9;:?]*)[ -/]*([@-~])|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[()][A-Za-z0-9]|\u001b[=>78cDEHMNOZ]/g;

const NO_STYLE: Style = {};

/**
 * Splits a line at its escape sequences. Colours and weights are kept, other sequences (cursor, titles, links) are left
 * out; what is no complete sequence stays in the text, to be shown as a visible escape.
 */
export function parseAnsi(line: string): Piece[] {
  if (!line.includes('\u001b')) return line === '' ? [] : [{ text: line, style: NO_STYLE }];
  const pieces: Piece[] = [];
  let style = NO_STYLE;
  let from = 0;
  for (const match of line.matchAll(SEQUENCE)) {
    if (match.index > from) pieces.push({ text: line.slice(from, match.index), style });
    from = match.index + match[0].length;
    if (match[2] === 'm') style = applySgr(style, match[1] ?? '');
  }
  if (from < line.length) pieces.push({ text: line.slice(from), style });
  return pieces;
}

/** The text without colours and other sequences. */
export function stripAnsi(line: string): string {
  return line.includes('\u001b') ? line.replace(SEQUENCE, '') : line;
}

type Draft = { -readonly [Key in keyof Style]?: Style[Key] };

/** One "select graphic rendition" sequence, ECMA-48 8.3.117 with the 256 and RGB forms of xterm. */
function applySgr(before: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map((code) => (code === '' ? 0 : Number(code)));
  let style: Draft = { ...before };
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 0) style = {};
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 7) style.inverse = true;
    else if (code === 9) style.strike = true;
    else if (code === 22) {
      delete style.bold;
      delete style.dim;
    } else if (code === 23) delete style.italic;
    else if (code === 24) delete style.underline;
    else if (code === 27) delete style.inverse;
    else if (code === 29) delete style.strike;
    else if (code === 39) delete style.foreground;
    else if (code === 49) delete style.background;
    else if (code >= 30 && code <= 37) style.foreground = code - 30;
    else if (code >= 40 && code <= 47) style.background = code - 40;
    else if (code >= 90 && code <= 97) style.foreground = code - 90 + 8;
    else if (code >= 100 && code <= 107) style.background = code - 100 + 8;
    else if (code === 38 || code === 48) {
      const { colour, used } = extendedColour(codes, index + 1);
      index += used;
      if (colour !== undefined) style[code === 38 ? 'foreground' : 'background'] = colour;
    }
  }
  return style;
}

function extendedColour(codes: readonly number[], at: number): { readonly colour?: Colour; readonly used: number } {
  if (codes[at] === 5) {
    const number = codes[at + 1] ?? -1;
    return number >= 0 && number <= 255 ? { colour: number, used: 2 } : { used: 2 };
  }
  if (codes[at] === 2) {
    const parts = [codes[at + 1] ?? -1, codes[at + 2] ?? -1, codes[at + 3] ?? -1];
    if (!parts.every((part) => part >= 0 && part <= 255)) return { used: 4 };
    return { colour: `#${parts.map((part) => part.toString(16).padStart(2, '0')).join('')}`, used: 4 };
  }
  return { used: 1 };
}

/** `#rrggbb` of a palette number 16…255: the 6×6×6 cube and the greys of xterm. The first 16 belong to the theme. */
export function paletteColour(number: number): string {
  const hex = (part: number): string => part.toString(16).padStart(2, '0');
  if (number >= 232) return `#${hex(8 + (number - 232) * 10).repeat(3)}`;
  const cube = number - 16;
  const level = (step: number): string => hex(step === 0 ? 0 : 55 + step * 40);
  return `#${level(Math.floor(cube / 36))}${level(Math.floor(cube / 6) % 6)}${level(cube % 6)}`;
}
