/** Whether a word holds a wildcard. */
export function isGlob(word: string): boolean {
  return /[*?[{]/.test(word);
}

/** The folder above the first wildcard: `a/b/*.json` → `a/b`, `*.json` → `.`, `/*.json` → `/`. */
export function globBase(glob: string): string {
  const before = glob.slice(0, glob.search(/[*?[{]/));
  const at = before.lastIndexOf('/');
  return at < 0 ? '.' : at === 0 ? '/' : before.slice(0, at);
}

/**
 * The paths that a glob means: `*` and `?` within a name, `**` over folders, `[a-z]`, `[!a]`, `{a,b}`.
 *
 * Every quantifier in the result stands alone and none is nested, so it can not run away on any path.
 */
export function globPattern(glob: string): RegExp {
  let source = '';
  let depth = 0;
  for (let index = 0; index < glob.length; index += 1) {
    const char = glob.charAt(index);
    if (char === '*' && glob[index + 1] === '*') {
      const isFolder = glob[index + 2] === '/';
      source += isFolder ? '(?:.*/)?' : '.*';
      index += isFolder ? 2 : 1;
    } else if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (char === '[' && glob.indexOf(']', index + 2) > 0) {
      const end = glob.indexOf(']', index + 2);
      const body = glob.slice(index + 1, end).replace(/[\\\]]/g, '\\$&');
      source += `[${body.startsWith('!') ? `^${body.slice(1)}` : body}]`;
      index = end;
    } else if (char === '{' && glob.indexOf('}', index) > 0) {
      source += '(?:';
      depth += 1;
    } else if (char === '}' && depth > 0) {
      source += ')';
      depth -= 1;
    } else if (char === ',' && depth > 0) source += '|';
    else source += char.replace(/[\\^$.|?*+()[\]{}/]/g, '\\$&');
  }
  try {
    return new RegExp(`^${source}${')'.repeat(depth)}$`);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // Such as `[z-a]`: no class of characters, so it means itself.
    return new RegExp(`^${glob.replace(/[\\^$.|?*+()[\]{}/]/g, '\\$&')}$`);
  }
}
