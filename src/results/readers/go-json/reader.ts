import { MkCiError } from '../../../errors.js';
import type { CreateReader } from '../../reader.js';
import { createGoCore } from '../go/core.js';
import { parsePackageLine } from '../go/frames.js';
import { parseGoEvent } from './parse-event.js';
import { createJsonLines } from './json-lines.js';
import { splitGluedLine } from './split-glued.js';

/**
 * Reads `go test -json`, `go tool test2json` and `gotestsum --jsonfile`, all actions up to Go 1.26, with whatever else
 * was printed in between.
 *
 * @see {@link https://pkg.go.dev/cmd/test2json} for the format
 */
export const createGoJsonReader: CreateReader = (emit, options) => {
  const core = createGoCore(emit, options);
  let events = 0;
  let hasText = false;
  let lineNumber = 0;

  function takeLine(line: string): void {
    lineNumber += 1;
    if (line === '' || line.trim() === '') return;
    if (line.startsWith('{') && takeObject(line)) return;
    takeMixed(line);
  }

  function takeObject(text: string): boolean {
    const event = parseGoEvent(text);
    if (event === undefined) return false;
    if (event === 'unknown') {
      core.repair({
        kind: 'unknown-action',
        message: 'events with an action that is not known were left out',
        line: lineNumber,
      });
      return true;
    }
    events += 1;
    core.event(event);
    return true;
  }

  /** A line that is not one event: text of another program, an event cut off, or both glued together. */
  function takeMixed(line: string): void {
    const parts = line.includes('"Action"') ? splitGluedLine(line) : [];
    let found = 0;
    for (const part of parts) if (part.kind === 'object' && takeObject(part.text)) found += 1;
    const strays = found === 0 ? [line] : parts.filter((part) => part.kind === 'text').map((part) => part.text);
    if (found > 0) {
      core.repair({
        kind: 'glued-line',
        message: 'events stood in one line with other text',
        line: lineNumber,
        count: 1,
      });
    }
    for (const stray of strays) takeStray(stray);
  }

  function takeStray(text: string): void {
    if (text.trim() === '') return;
    hasText = true;
    const summary = parsePackageLine(text);
    if (summary?.status === 'failed' && summary.failed !== undefined) {
      // Before Go 1.24 builds that failed were told in plain text.
      core.failedPackage(summary);
    }
    const isEvent = text.startsWith('{') && text.includes('"Action"');
    core.repair(
      isEvent
        ? { kind: 'broken-event', message: 'events that are cut off or damaged', line: lineNumber }
        : { kind: 'non-json-line', message: 'lines of other programs in between', line: lineNumber },
    );
    core.strayLine(text);
  }

  const lines = createJsonLines({ takeLine, takeObject });

  return {
    format: 'go-json',
    write(piece) {
      lines.write(piece);
    },
    end() {
      lines.end();
      if (events === 0 && hasText) {
        core.end();
        throw new MkCiError('RES_MALFORMED', { message: 'no event of go test -json in it' });
      }
      core.end();
    },
  };
};
