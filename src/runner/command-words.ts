/**
 * Words of a command that needs no shell, so that arguments can be added to it.
 *
 * @returns `undefined` when the text uses anything that only a shell understands: pipes, lists, redirections, variables,
 *   substitutions, globs, comments, or quotes that do not close. Assignments in front (`A=1 go test`) become `env A=1 …`.
 */
export function splitCommand(text: string): readonly [string, ...string[]] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (/\s/.test(char)) {
      // A line break separates commands.
      if (char === '\n' && text.slice(at).trim() !== '' && words.length + (word === undefined ? 0 : 1) > 0)
        return undefined;
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (char === "'") {
      const end = text.indexOf("'", at + 1);
      if (end < 0) return undefined;
      word = (word ?? '') + text.slice(at + 1, end);
      at = end;
    } else if (char === '"') {
      const end = text.indexOf('"', at + 1);
      if (end < 0) return undefined;
      const inside = text.slice(at + 1, end);
      if (/[\\$`]/.test(inside)) return undefined;
      word = (word ?? '') + inside;
      at = end;
    } else if (char === '\\') {
      const next = text.charAt(at + 1);
      if (next === '' || next === '\n') return undefined;
      word = (word ?? '') + next;
      at += 1;
    } else if (/[|&;<>()$`*?[\]{}!]/.test(char) || (word === undefined && /[#~]/.test(char))) {
      return undefined;
    } else {
      word = (word ?? '') + char;
    }
  }
  if (word !== undefined) words.push(word);
  const [first, ...rest] = words;
  if (first === undefined) return undefined;
  return /^[A-Za-z_]\w*=/.test(first) ? ['env', first, ...rest] : [first, ...rest];
}

/** What is started for a suite's command: a list as it is, a string through `sh -c`. */
export function argvOf(command: string | readonly string[]): readonly [string, ...string[]] {
  if (typeof command === 'string') return ['/bin/sh', '-c', command];
  const [program = '', ...rest] = command;
  return [program, ...rest];
}
