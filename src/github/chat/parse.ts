/** What a person asked for in a comment on a pull request. */
export type ChatCommand =
  | { readonly name: 'retest' }
  | { readonly name: 'ok-to-test' }
  /** `test` may hold `*`; absent asks for the worst ones. */
  | { readonly name: 'flake-status'; readonly test?: string }
  | { readonly name: 'quarantine'; readonly test: string; readonly environment: string; readonly days: number };

export type ChatLine = ChatCommand | { readonly name: 'wrong'; readonly line: string; readonly message: string };

/** More in one comment are not read: nobody needs them, and each costs requests. */
const MOST_COMMANDS = 5;
const LONGEST_NAME = 500;
const LONGEST_LINE = 1_000;
const DEFAULT_DAYS = 14;
const MOST_DAYS = 90;
const COMMAND = /^\/(retest|ok-to-test|flake-status|quarantine)(?:[ \t]+(.*?))?[ \t]*$/;

/**
 * Commands of a comment: lines that begin with one, outside of fences, code blocks and quotes. Commands of other bots are
 * left alone. The same command twice counts once.
 */
export function parseChat(body: string): ChatLine[] {
  // Our own words may name commands.
  if (body.startsWith('<!-- mk-ci:')) return [];
  const found = new Map<string, ChatLine>();
  let fence: string | undefined;
  for (const line of body.replaceAll(/<!--[\s\S]*?(?:-->|$)/g, '').split(/\r\n|\r|\n/)) {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence !== undefined) {
      if (mark !== undefined && mark.startsWith(fence) && /^\s*[`~]+\s*$/.test(line)) fence = undefined;
      continue;
    }
    if (mark !== undefined) {
      fence = mark;
      continue;
    }
    const [, name, rest = ''] = (line.length > LONGEST_LINE ? null : COMMAND.exec(line)) ?? [];
    if (name === undefined) continue;
    const command = commandOf(name, rest, line);
    found.set(JSON.stringify(command), command);
  }
  return [...found.values()].slice(0, MOST_COMMANDS);
}

function commandOf(name: string, rest: string, line: string): ChatLine {
  const wrong = (message: string): ChatLine => ({ name: 'wrong', line: line.slice(0, LONGEST_NAME), message });
  switch (name) {
    case 'retest':
    case 'ok-to-test':
      return rest === '' ? { name } : wrong(`\`/${name}\` takes nothing more`);
    case 'flake-status': {
      const test = testName(rest);
      if (test.length > LONGEST_NAME) return wrong('the name is too long');
      return test === '' ? { name } : { name, test };
    }
    default: {
      const options = new Map<string, string>();
      // The name of a test may hold spaces; options stand behind it.
      let words = rest;
      for (;;) {
        const match = /^(.*?)(?:^|[ \t]+)--(environment|days)(?:=|[ \t]+)(\S+)$/.exec(words.trimEnd());
        if (match === null) break;
        const [, before = '', option = '', value = ''] = match;
        if (options.has(option)) return wrong(`\`--${option}\` stands twice`);
        options.set(option, value);
        words = before;
      }
      const test = testName(words);
      const days = Number(options.get('days') ?? DEFAULT_DAYS);
      if (test === '') return wrong('name the test: `/quarantine TestName`');
      if (test.length > LONGEST_NAME) return wrong('the name is too long');
      if (/^\**$/.test(test)) return wrong('that would be every test');
      if (!Number.isInteger(days) || days < 1 || days > MOST_DAYS)
        return wrong(`\`--days\` is a number from 1 to ${MOST_DAYS}`);
      return { name: 'quarantine', test, environment: options.get('environment') ?? '*', days };
    }
  }
}

/** As people paste it: with backticks around or without. */
function testName(text: string): string {
  const bare = text.trim();
  const inner = /^(`+)(.+)\1$/.exec(bare)?.[2];
  return (inner ?? bare).trim();
}
