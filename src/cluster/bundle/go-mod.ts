/**
 * Reading and writing of `go.mod`, as far as building somebody else's module needs it. Pure.
 *
 * @see {@link https://go.dev/ref/mod#go-mod-file} for the format
 */

export interface GoMod {
  readonly module: string;
  /** `go` directive, such as `1.26.0`; '' when there is none. */
  readonly go: string;
  /** Values of `godebug` directives, `key=value`. They count only in the main module, so they must be taken over. */
  readonly godebug: readonly string[];
  readonly require: readonly GoRequirement[];
  readonly replace: readonly GoReplacement[];
  /** `path version`, as written. */
  readonly exclude: readonly string[];
}

export interface GoRequirement {
  readonly path: string;
  readonly version: string;
}

export interface GoReplacement {
  readonly path: string;
  /** Absent when every version is replaced. */
  readonly version?: string;
  readonly target: string;
  /** Absent when the target is a folder. */
  readonly targetVersion?: string;
}

/** Directives that are not needed (`toolchain`, `retract`, `tool` …), lines that are broken and comments are left out. */
export function parseGoMod(text: string): GoMod {
  let module = '';
  let go = '';
  const godebug: string[] = [];
  const require: GoRequirement[] = [];
  const replace: GoReplacement[] = [];
  const exclude: string[] = [];
  let block: string | undefined;

  for (const line of text.split(/\r?\n/)) {
    const words = tokens(line);
    if (words.length === 0) continue;
    if (block !== undefined && words[0] === ')') {
      block = undefined;
      continue;
    }
    if (block === undefined && words[1] === '(') {
      block = words[0];
      continue;
    }
    const [directive, ...rest] = block === undefined ? words : [block, ...words];
    const [first, second] = rest;
    if (first === undefined) continue;
    switch (directive) {
      case 'module':
        module = first;
        break;
      case 'go':
        go = first;
        break;
      case 'godebug':
        godebug.push(first);
        break;
      case 'require':
        if (second !== undefined) require.push({ path: first, version: second });
        break;
      case 'exclude':
        if (second !== undefined) exclude.push(`${first} ${second}`);
        break;
      case 'replace': {
        const replacement = parseReplacement(rest);
        if (replacement !== undefined) replace.push(replacement);
        break;
      }
      default:
    }
  }
  return { module, go, godebug, require, replace, exclude };
}

function parseReplacement(words: readonly string[]): GoReplacement | undefined {
  const arrow = words.indexOf('=>');
  const [path, version] = words.slice(0, arrow);
  const [target, targetVersion] = words.slice(arrow + 1);
  if (arrow < 1 || path === undefined || target === undefined) return undefined;
  return {
    path,
    ...(version === undefined ? {} : { version }),
    target,
    ...(targetVersion === undefined ? {} : { targetVersion }),
  };
}

/** Words of a line without its comment; quoted words lose their quotes. */
function tokens(line: string): string[] {
  const words: string[] = [];
  for (const [word] of line.matchAll(/"(?:[^"\\]|\\.)*"|`[^`]*`|\/\/.*|[^\s"`]+/g)) {
    if (word.startsWith('//')) break;
    words.push(/^["`]/.test(word) ? word.slice(1, -1) : word);
  }
  return words;
}

/** True for a replacement by a folder of the same source tree, which a published module does not contain. */
export function isFolder(target: string): boolean {
  return /^\.{0,2}\//.test(target);
}

export interface BuildModuleOptions {
  /** The module to build, from its own `go.mod`. */
  readonly upstream: GoMod;
  /** Its version. */
  readonly version: string;
  /** See `GoRecipe.treeModuleVersion`. */
  readonly treeModuleVersion?: string | undefined;
}

/**
 * `go.mod` of a main module in which the programs of a published module build with the very dependencies of their
 * release: everything the upstream `go.mod` says is taken over, because `replace`, `exclude` and `godebug` count only in
 * the main module. Replacements by folders become the published modules: at `treeModuleVersion` where upstream requires
 * `v0.0.0` (Kubernetes' staging modules), else at the version it requires.
 */
export function renderBuildModule({ upstream, version, treeModuleVersion }: BuildModuleOptions): string {
  const required = new Map(upstream.require.map((requirement) => [requirement.path, requirement.version]));
  const replacements = upstream.replace.flatMap((replacement): GoReplacement[] => {
    if (!isFolder(replacement.target)) return [replacement];
    if (treeModuleVersion === undefined || required.get(replacement.path) !== 'v0.0.0') return [];
    return [{ path: replacement.path, target: replacement.path, targetVersion: treeModuleVersion }];
  });
  return [
    'module mk-ci.invalid/bundle',
    ...(upstream.go === '' ? [] : [`go ${upstream.go}`]),
    ...upstream.godebug.map((value) => `godebug ${value}`),
    `require ${quote(upstream.module)} ${version}`,
    ...upstream.require.map(({ path, version: wanted }) => `require ${quote(path)} ${wanted}`),
    ...replacements.map(
      ({ path, version: only, target, targetVersion }) =>
        `replace ${[path, only].filter(isText).map(quote).join(' ')} => ${[target, targetVersion].filter(isText).map(quote).join(' ')}`,
    ),
    ...upstream.exclude.map((entry) => `exclude ${entry.split(' ').map(quote).join(' ')}`),
    '',
  ].join('\n');
}

function quote(word: string): string {
  return /^[\w./@+~!=-]+$/.test(word) && !word.includes('//') ? word : JSON.stringify(word);
}

function isText(word: string | undefined): word is string {
  return word !== undefined;
}

/** Name that `go build -o DIR/` gives a program: the last element of its path that is not a major version. */
export function goProgramName(packagePath: string): string {
  const elements = packagePath.split('/');
  const last = elements.at(-1) ?? '';
  return /^v\d+$/.test(last) ? (elements.at(-2) ?? last) : last;
}

/**
 * Compares Go versions such as `1.26`, `go1.26.8`, `go1.27rc1 X:exp`; a missing number counts as 0.
 *
 * @returns whether `have` is at least `need`; true when `need` can not be read
 */
export function isGoAtLeast(have: string, need: string): boolean {
  const [left, right] = [numbersOf(have), numbersOf(need)];
  for (let at = 0; at < 3; at += 1) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

function numbersOf(version: string): number[] {
  const match = /^(?:go)?(\d+)\.(\d+)(?:\.(\d+))?/.exec(version.trim());
  return match === null ? [] : [match[1], match[2], match[3] ?? '0'].map(Number);
}
