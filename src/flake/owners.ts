import { matchesPattern } from './quarantine.js';

/** A rule of the quarantine file: tests by name or package pattern. */
export interface OwnerRule {
  /** Pattern with `*`. @default '*' */
  readonly test?: string | undefined;
  readonly package?: string | undefined;
  readonly owner: string;
}

/** What ownership is decided by. */
export interface OwnedTest {
  /** `owner/name`, '' when unknown. */
  readonly repository: string;
  readonly package: string;
  readonly test: string;
}

/** A line of a CODEOWNERS file. */
export interface CodeOwnerRule {
  readonly pattern: string;
  /** Users, teams or mail addresses; empty for a pattern that takes ownership away. */
  readonly owners: readonly string[];
}

/**
 * Reads a CODEOWNERS file of GitHub or GitLab (sections are ignored). The last rule that matches a path decides.
 *
 * @see {@link https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners}
 */
export function parseCodeOwners(text: string): CodeOwnerRule[] {
  return text.split(/\r?\n/).flatMap((raw) => {
    const line = raw.replace(/(^|\s)#.*$/, '').trim();
    if (line === '' || /^\^?\[/.test(line)) return [];
    const [pattern = '', ...owners] = line.split(/(?<!\\)\s+/);
    return [{ pattern: pattern.replaceAll('\\ ', ' '), owners }];
  });
}

/** Whether a pattern of CODEOWNERS (as in gitignore, without negation) holds a path such as `test/e2e/dns_test.go`. */
export function matchesPath(pattern: string, path: string): boolean {
  const isAnchored = pattern.slice(0, -1).includes('/');
  const isFolder = pattern.endsWith('/');
  const body = pattern.replace(/^\//, '').replace(/\/$/, '');
  const source = body
    .split(/(\*\*\/|\/\*\*|\*|\?)/)
    .map((part) => {
      if (part === '**/') return '(?:.*/)?';
      if (part === '/**') return '/.*';
      if (part === '*') return '[^/]*';
      if (part === '?') return '[^/]';
      return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    })
    .join('');
  // `docs/*` holds files of the folder itself only; a name without a star holds everything below it.
  const below = isFolder ? '/.*' : body.endsWith('*') ? '' : '(?:/.*)?';
  return new RegExp(`^${isAnchored ? '' : '(?:.*/)?'}${source}${below}$`).test(path);
}

/**
 * Who owns a test: the first rule of the quarantine file that fits, else the last line of CODEOWNERS that holds the folder
 * of its package.
 *
 * @returns owners, space between several; `undefined` when nobody is named
 */
export function ownerOf(
  test: OwnedTest,
  rules: { readonly owners?: readonly OwnerRule[]; readonly codeOwners?: readonly CodeOwnerRule[] },
): string | undefined {
  const rule = rules.owners?.find(
    ({ test: name = '*', package: pkg = '*' }) => matchesPattern(name, test.test) && matchesPattern(pkg, test.package),
  );
  if (rule !== undefined) return rule.owner;
  const path = pathOfPackage(test);
  // A package is a folder: rules about its files (`*_test.go`) decide too.
  const found = rules.codeOwners?.findLast(({ pattern }) =>
    [path, `${path}/${test.test}`].some((candidate) => candidate !== '' && matchesPath(pattern, candidate)),
  );
  return found === undefined || found.owners.length === 0 ? undefined : found.owners.join(' ');
}

/** Folder in the repository: a Go import path without host and repository, other names as they are. */
export function pathOfPackage({
  repository,
  package: pkg,
}: {
  readonly repository: string;
  readonly package: string;
}): string {
  const at = repository === '' ? -1 : pkg.indexOf(`${repository}/`);
  if (at >= 0) return pkg.slice(at + repository.length + 1).replace(/^v\d+\//, '');
  return pkg.replace(/^\.?\//, '');
}
