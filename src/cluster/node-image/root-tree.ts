import { readElfNeeds } from './elf.js';
import type { TarEntry } from './tar.js';

/** The part of a root file system that was read into memory: programs for packets, libraries, links. */
export interface RootTree {
  readonly files: ReadonlyMap<string, { readonly content: Buffer; readonly mode: number }>;
  /** Target by path. */
  readonly links: ReadonlyMap<string, string>;
}

/** What kube-proxy runs, wherever the distribution's alternatives lead. */
const PROXY_PROGRAM =
  /^(?:usr\/)?sbin\/(?:nft|ipset|conntrack|xtables-(?:nft|legacy)-multi|ip6?tables(?:-nft|-legacy)?(?:-save|-restore)?)$/;
const PROXY_ALTERNATIVE = /^etc\/alternatives\/ip6?tables[\w-]*$/;
const XTABLES_EXTENSION = /^(?:usr\/)?lib\/(?:[\w-]+\/)?xtables\/lib\w+\.so$/;
const LIBRARY = /^(?:usr\/)?lib(?:64)?\/(?:[\w-]+\/)?(?:ld-linux[\w.-]*|lib[\w.+-]+)\.so[\w.]*$/;
const TOP_LINK = /^(?:bin|sbin|lib|lib64)$/;

/** Whether {@link proxyFiles} may need this file of a root file system. */
export function isProxyMaterial(path: string): boolean {
  return [PROXY_PROGRAM, PROXY_ALTERNATIVE, XTABLES_EXTENSION, LIBRARY, TOP_LINK].some((pattern) => pattern.test(path));
}

/**
 * Files that the image of kube-proxy needs besides the program: iptables, nft and every library that these load, found by
 * following links and ELF headers. Pure.
 *
 * @returns empty when the root file system has none of the programs
 */
export function proxyFiles(tree: RootTree): TarEntry[] {
  const taken = new Map<string, TarEntry>();
  const take = (path: string): void => {
    const real = follow(tree, path, taken);
    const file = real === undefined ? undefined : tree.files.get(real);
    if (real === undefined || file === undefined || taken.has(real)) return;
    taken.set(real, { kind: 'file', path: real, content: file.content, mode: file.mode });
    const needs = readElfNeeds(file.content);
    if (needs?.interpreter !== undefined) take(needs.interpreter.replace(/^\//, ''));
    for (const library of needs?.libraries ?? []) {
      const found = findLibrary(tree, library);
      if (found !== undefined) take(found);
    }
  };
  const paths = [...tree.files.keys(), ...tree.links.keys()];
  for (const path of paths.filter((candidate) => PROXY_PROGRAM.test(candidate))) take(path);
  if (![...taken.values()].some(({ kind }) => kind === 'file')) return [];
  for (const path of paths.filter((candidate) => XTABLES_EXTENSION.test(candidate))) take(path);
  for (const [path, target] of tree.links) if (TOP_LINK.test(path)) taken.set(path, { kind: 'link', path, target });
  return [...taken.values()];
}

/** Follows links, also of folders, and notes each link that is passed. */
function follow(tree: RootTree, path: string, passed: Map<string, TarEntry>): string | undefined {
  let rest = path.split('/');
  let done: string[] = [];
  for (let steps = 0; rest.length > 0; steps += 1) {
    if (steps > 100) return undefined;
    const [first = '', ...others] = rest;
    rest = others;
    if (first === '' || first === '.') continue;
    if (first === '..') {
      done.pop();
      continue;
    }
    const here = [...done, first].join('/');
    const target = tree.links.get(here);
    if (target === undefined) {
      done.push(first);
      continue;
    }
    passed.set(here, { kind: 'link', path: here, target });
    if (target.startsWith('/')) done = [];
    rest = [...target.split('/'), ...rest];
  }
  return done.join('/');
}

function findLibrary(tree: RootTree, name: string): string | undefined {
  const ending = `/${name}`;
  for (const paths of [tree.links.keys(), tree.files.keys()]) {
    for (const path of paths) if (path.endsWith(ending) && LIBRARY.test(path)) return path;
  }
  return undefined;
}
