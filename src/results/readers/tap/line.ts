/** What one line of TAP is, without its indentation. */
export type TapLine =
  | { readonly type: 'version' }
  | { readonly type: 'plan'; readonly start: number; readonly end: number; readonly skipReason: string | undefined }
  | {
      readonly type: 'result';
      readonly ok: boolean;
      readonly id: number | undefined;
      readonly description: string;
      readonly directive: 'skip' | 'todo' | undefined;
      readonly reason: string;
      readonly timeMs: number | undefined;
      /** A `{` at the end: the subtest follows in braces. */
      readonly opensBuffer: boolean;
    }
  | { readonly type: 'subtest'; readonly name: string }
  | { readonly type: 'bailout'; readonly reason: string }
  | { readonly type: 'pragma' }
  | { readonly type: 'comment'; readonly text: string }
  | { readonly type: 'other' };

const RESULT = /^(not )?ok\b(?:\s+(\d+))?\s*(?:-\s*)?([\s\S]*)$/;

/**
 * Reads one line of TAP 12 to 14.
 *
 * @see {@link https://testanything.org/tap-version-14-specification.html}
 */
export function parseTapLine(line: string): TapLine {
  if (/^TAP version \d+\s*$/.test(line)) return { type: 'version' };
  const plan = /^(\d+)\.\.(\d+)(?:\s*#\s*(.*))?\s*$/.exec(line);
  if (plan !== null) {
    const reason = plan[3]?.trim();
    return {
      type: 'plan',
      start: Number(plan[1]),
      end: Number(plan[2]),
      skipReason: reason === undefined ? undefined : reason.replace(/^skip\S*\s*/i, ''),
    };
  }
  // Go prints `ok` with a tab before the package; that is a result of another kind of test, and still a result here.
  const result = RESULT.exec(line);
  if (result !== null && !/^(?:not )?ok[^\s#-]/.test(line)) return parseResult(result);
  const bail = /^Bail out!\s*(.*)$/i.exec(line);
  if (bail !== null) return { type: 'bailout', reason: unescapeTap(bail[1] ?? '').trim() };
  if (/^pragma\s+[+-]\w/.test(line)) return { type: 'pragma' };
  const comment = /^#\s?(.*)$/.exec(line);
  if (comment === null) return { type: 'other' };
  const subtest = /^Subtest(?::\s*(.*))?$/.exec(comment[1] ?? '');
  return subtest === null
    ? { type: 'comment', text: comment[1] ?? '' }
    : { type: 'subtest', name: unescapeTap(subtest[1] ?? '').trim() };
}

function parseResult([, not, id, rest]: RegExpExecArray): TapLine {
  let description = rest ?? '';
  const opensBuffer = /(?:^|\s)\{\s*$/.test(description);
  if (opensBuffer) description = description.replace(/\s*\{\s*$/, '');
  let directive: 'skip' | 'todo' | undefined;
  let reason = '';
  let timeMs: number | undefined;
  // A directive begins at a # that is not escaped; `# time=12ms` may stand beside it.
  for (let found = lastDirective(description); found !== undefined; found = lastDirective(description)) {
    if (found.word === 'time') timeMs = found.timeMs;
    else {
      directive = found.word;
      reason = found.reason;
    }
    description = description.slice(0, found.at);
  }
  return {
    type: 'result',
    ok: not === undefined,
    id: id === undefined ? undefined : Number(id),
    // Perl's Test2 repeats the word of the comment.
    description: unescapeTap(description)
      .trim()
      .replace(/^Subtest: (?=\S)/, ''),
    directive,
    reason,
    timeMs,
    opensBuffer,
  };
}

interface Directive {
  readonly at: number;
  readonly word: 'skip' | 'todo' | 'time';
  readonly reason: string;
  readonly timeMs: number | undefined;
}

function lastDirective(text: string): Directive | undefined {
  for (let at = text.lastIndexOf('#'); at >= 0; at = at === 0 ? -1 : text.lastIndexOf('#', at - 1)) {
    if (isEscaped(text, at)) continue;
    const rest = text.slice(at + 1);
    const time = /^\s*time=(\d+(?:\.\d+)?)(ms|s)?\s*$/i.exec(rest);
    if (time !== null) {
      return { at, word: 'time', reason: '', timeMs: Number(time[1]) * (time[2]?.toLowerCase() === 's' ? 1000 : 1) };
    }
    const word = /^\s*(skip|todo)(?:\S*)(?:\s+([\s\S]*))?$/i.exec(rest);
    if (word === null) return undefined;
    const kind = word[1]?.toLowerCase() === 'todo' ? 'todo' : 'skip';
    return { at, word: kind, reason: unescapeTap(word[2] ?? '').trim(), timeMs: undefined };
  }
  return undefined;
}

function isEscaped(text: string, at: number): boolean {
  let count = 0;
  for (let index = at - 1; index >= 0 && text.charAt(index) === '\\'; index -= 1) count += 1;
  return count % 2 === 1;
}

function unescapeTap(text: string): string {
  return text.replace(/\\([\\#])/g, '$1');
}
