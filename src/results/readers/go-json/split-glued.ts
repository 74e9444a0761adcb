/** Pieces of a line that holds JSON objects and other text side by side. */
export interface LinePart {
  readonly kind: 'object' | 'text';
  readonly text: string;
}

/** More objects than this are not looked for in one line. */
const MAX_OBJECTS = 1000;

/**
 * Finds objects that stand in a line behind or before other text: another program wrote into the same stream, or a line
 * end was lost. Linear in the length of the line: each character is looked at once, but for the search for `{"`.
 */
export function splitGluedLine(line: string): readonly LinePart[] {
  const parts: LinePart[] = [];
  let from = 0;
  let at = line.indexOf('{"');
  while (at >= 0 && parts.length < MAX_OBJECTS) {
    const end = objectEnd(line, at);
    // Not closed to the end of the line: cut off, maybe with a whole object inside after lost text.
    if (end === undefined) {
      at = line.indexOf('{"', Math.max(at + 1, line.lastIndexOf('{"Time":', line.length)));
      if (at < from) break;
      if (parts.length + 1 >= MAX_OBJECTS || objectEnd(line, at) === undefined) break;
      continue;
    }
    if (at > from) parts.push({ kind: 'text', text: line.slice(from, at) });
    parts.push({ kind: 'object', text: line.slice(at, end) });
    from = end;
    at = line.indexOf('{"', from);
  }
  if (from < line.length) parts.push({ kind: 'text', text: line.slice(from) });
  return parts;
}

/** Index behind the brace that closes the object which opens at `start`; strings and escapes are respected. */
function objectEnd(line: string, start: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let index = start; index < line.length; index += 1) {
    const code = line.charCodeAt(index);
    if (inString) {
      if (code === 92) index += 1;
      else if (code === 34) inString = false;
    } else if (code === 34) inString = true;
    else if (code === 123) depth += 1;
    else if (code === 125) {
      depth -= 1;
      if (depth === 0) return index + 1;
    }
  }
  return undefined;
}
