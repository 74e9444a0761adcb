/** Stands on both sides of the name of a variable in a word; no command holds it. */
const MARK = '\u0001';

const OWN_VARIABLE = /^\$(?:\{(ARTIFACTS|KUBECONFIG|MK_CI_\w+)\}|(ARTIFACTS|KUBECONFIG|MK_CI_\w+)(?!\w))/;

/**
 * Words of a command that needs no shell, so that arguments can be added to it. Variables in double quotes (`"$ARTIFACTS/x"`)
 * stay open until {@link expandVariables}, because every attempt has its own values. So do those that mk-ci itself sets
 * without quotes: a shell would split their values at blanks, which nobody who writes them wants.
 *
 * @returns `undefined` when the text uses anything that only a shell understands: pipes, lists, redirections, variables
 *   of others without quotes, substitutions, globs, comments, or quotes that do not close. Assignments in front (`A=1 go test`) become `env A=1 …`.
 */
export function splitCommand(text: string): readonly [string, ...string[]] | undefined {
  if (text.includes(MARK)) return undefined;
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
      const inside = text
        .slice(at + 1, end)
        .replace(
          /\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))/g,
          (_, braced, bare) => `${MARK}${String(braced ?? bare)}${MARK}`,
        );
      if (/[\\$`]/.test(inside)) return undefined;
      word = (word ?? '') + inside;
      at = end;
    } else if (char === '$' && OWN_VARIABLE.test(text.slice(at))) {
      const [whole = '', braced, bare] = OWN_VARIABLE.exec(text.slice(at)) ?? [];
      word = `${word ?? ''}${MARK}${braced ?? bare ?? ''}${MARK}`;
      at += whole.length - 1;
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

/** Puts the values of an attempt's environment where {@link splitCommand} left variables; an unset one is empty. */
export function expandVariables(
  argv: readonly [string, ...string[]],
  env: Readonly<Record<string, string | undefined>>,
): [string, ...string[]] {
  const expand = (word: string): string =>
    word
      .split(MARK)
      .map((part, index) => (index % 2 === 0 ? part : (env[part] ?? '')))
      .join('');
  const [program, ...rest] = argv;
  return [expand(program), ...rest.map(expand)];
}

/** The words with the names of open variables, for people and for the record of a run. */
export function nameVariables(argv: readonly [string, ...string[]]): [string, ...string[]] {
  const name = (word: string): string =>
    word
      .split(MARK)
      .map((part, index) => (index % 2 === 0 ? part : `$${part}`))
      .join('');
  const [program, ...rest] = argv;
  return [name(program), ...rest.map(name)];
}

/** What is started for a suite's command: a list as it is, a string through `sh -c`. */
export function argvOf(command: string | readonly string[]): readonly [string, ...string[]] {
  if (typeof command === 'string') return ['/bin/sh', '-c', command];
  const [program = '', ...rest] = command;
  return [program, ...rest];
}
