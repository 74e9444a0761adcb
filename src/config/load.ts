import { readFile, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';

import { LineCounter, parseDocument, type Document } from 'yaml';
import { z } from 'zod';

import { MkCiError, systemErrorCode } from '../errors.js';
import { expandEnvironments, formatPath, matchesEnvironment, type Environment, type Problem } from './matrix.js';
import { configSchema, type ConfigFile, type SuiteConfig } from './schema.js';
import { suggest } from './suggest.js';

/** A configuration that was checked, with its matrix expanded. */
export interface Config {
  /** Absolute path of the file. */
  readonly file: string;
  /** Its folder: relative paths in the file start here. */
  readonly folder: string;
  readonly kubernetesVersion: string;
  readonly environments: readonly Environment[];
  readonly suites: readonly SuiteConfig[];
  readonly flake: ConfigFile['flake'];
  readonly github: ConfigFile['github'];
}

export const CONFIG_FILE = 'mk-ci.yaml';

export interface LoadOptions {
  readonly cwd: string;
  /** Path of the file, relative to `cwd`; without it `mk-ci.yaml` is searched from `cwd` upward. */
  readonly file?: string | undefined;
}

/**
 * Reads and checks the configuration.
 *
 * @throws {MkCiError} `CFG_NOT_FOUND`, `CFG_UNREADABLE`; `CFG_INVALID` with all problems at once in `details.problems`, each as
 *   `file:line:column: path: message`
 */
export async function loadConfig(options: LoadOptions): Promise<Config> {
  const file = await locate(options);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw new MkCiError('CFG_NOT_FOUND', { message: file, cause: error });
    throw new MkCiError('CFG_UNREADABLE', {
      message: `${file} (${systemErrorCode(error) ?? 'unknown'})`,
      cause: error,
    });
  }
  return parseConfig(text, file, relative(options.cwd, file) || file);
}

async function locate({ cwd, file }: LoadOptions): Promise<string> {
  if (file !== undefined) return resolve(cwd, file);
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    const candidate = join(folder, CONFIG_FILE);
    if (await isFile(candidate)) return candidate;
    if (dirname(folder) === folder) {
      throw new MkCiError('CFG_NOT_FOUND', { message: `no ${CONFIG_FILE} in ${resolve(cwd)} or above` });
    }
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/**
 * Checks the text of a configuration. No I/O.
 *
 * @param file absolute path, for `Config.file`
 * @param shownAs how the file is called in messages
 * @throws {MkCiError} `CFG_INVALID`
 */
export function parseConfig(text: string, file: string, shownAs: string = file): Config {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const placeOf = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${shownAs}:${Math.max(1, line)}:${Math.max(1, col)}`;
  };
  if (document.errors.length > 0) {
    throw invalid(
      shownAs,
      document.errors.map((error) => `${placeOf(error.pos[0])}: ${error.message.split('\n')[0] ?? ''}`),
    );
  }
  const inOrder = (problems: readonly Problem[]): string[] =>
    problems
      .map((problem) => ({ ...problem, offset: offsetOf(document, problem.path) }))
      .sort((left, right) => left.offset - right.offset)
      .map(
        ({ path, message, offset }) =>
          `${placeOf(offset)}: ${path.length === 0 ? '' : `${formatPath(path)}: `}${message}`,
      );

  const parsed = configSchema.safeParse(toPlain(document, shownAs), { reportInput: true });
  if (!parsed.success) throw invalid(shownAs, inOrder(parsed.error.issues.flatMap(problemsOf)));

  const { environments, problems } = expandEnvironments(parsed.data.environments, parsed.data.kubernetes);
  const all = [...problems, ...checkSuites(parsed.data.suites, environments)];
  if (all.length > 0) throw invalid(shownAs, inOrder(all));
  return {
    file,
    folder: dirname(file),
    kubernetesVersion: parsed.data.kubernetes,
    environments,
    suites: parsed.data.suites,
    flake: parsed.data.flake,
    github: parsed.data.github,
  };
}

function toPlain(document: Document, shownAs: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 }) as unknown;
  } catch (error) {
    // An alias without anchor, or aliases that multiply without end.
    throw invalid(shownAs, [`${shownAs}:1:1: ${error instanceof Error ? error.message : String(error)}`]);
  }
}

function invalid(shownAs: string, problems: readonly string[]): MkCiError {
  return new MkCiError('CFG_INVALID', {
    message: `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'} in ${shownAs}`,
    details: { problems },
  });
}

/** Offset of the node at a path; of its nearest parent where the node is missing; of a key for an unknown key. */
function offsetOf(document: Document, path: readonly (string | number)[]): number {
  for (let length = path.length; length > 0; length -= 1) {
    const parent: unknown = document.getIn(path.slice(0, length - 1), true);
    const key = path[length - 1];
    const pair = pairOf(parent, key);
    if (pair !== undefined) return pair;
    const node: unknown = document.getIn(path.slice(0, length), true);
    const start = startOf(node);
    if (start !== undefined) return start;
  }
  return startOf(document.contents) ?? 0;
}

function pairOf(parent: unknown, key: string | number | undefined): number | undefined {
  if (typeof parent !== 'object' || parent === null || !('items' in parent) || !Array.isArray(parent.items))
    return undefined;
  for (const item of parent.items as unknown[]) {
    if (typeof item === 'object' && item !== null && 'key' in item && keyText(item.key) === String(key))
      return startOf(item.key);
  }
  return undefined;
}

function keyText(key: unknown): string | undefined {
  if (typeof key === 'object' && key !== null && 'value' in key) return String(key.value);
  return typeof key === 'string' ? key : undefined;
}

function startOf(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range)) return undefined;
  const start: unknown = node.range[0];
  return typeof start === 'number' ? start : undefined;
}

function problemsOf(issue: z.core.$ZodIssue): Problem[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const near = suggest(key, knownKeys(path));
        return { path: [...path, key], message: `unknown key${near === undefined ? '' : `; did you mean ${near}?`}` };
      });
    case 'invalid_value': {
      const given = issue.input;
      const near = typeof given === 'string' ? suggest(given, issue.values.map(String)) : undefined;
      const hint = near === undefined ? '' : `; did you mean ${near}?`;
      const [only] = issue.values;
      return [
        {
          path,
          message:
            issue.values.length === 1
              ? `must be ${String(only)}`
              : `must be one of ${issue.values.map(String).join(', ')}${hint}`,
        },
      ];
    }
    case 'invalid_union': {
      // Report what is wrong with the branch that came nearest: the one that fails deepest.
      const branches = issue.errors.map((issues) =>
        issues.flatMap((inner) => problemsOf({ ...inner, path: [...issue.path, ...inner.path] })),
      );
      const depth = (problems: readonly Problem[]): number =>
        Math.max(0, ...problems.map((problem) => problem.path.length));
      const deepest = Math.max(0, ...branches.map(depth));
      return branches.find((problems) => depth(problems) === deepest) ?? [{ path, message: issue.message }];
    }
    case 'invalid_type':
      return [{ path, message: issue.input === undefined ? 'is missing' : `must be ${articleFor(issue.expected)}` }];
    case 'too_small':
    case 'too_big': {
      const bound = String(issue.code === 'too_small' ? issue.minimum : issue.maximum);
      const word = issue.code === 'too_small' ? (issue.inclusive === false ? 'more than' : 'at least') : 'at most';
      const unit = issue.origin === 'array' ? ' entries' : issue.origin === 'string' ? ' characters' : '';
      return [{ path, message: `must ${unit === '' ? 'be' : 'have'} ${word} ${bound}${unit}` }];
    }
    default:
      return [{ path, message: issue.message.charAt(0).toLowerCase() + issue.message.slice(1) }];
  }
}

function articleFor(expected: string): string {
  const word =
    {
      int: 'whole number',
      record: 'map',
      object: 'map',
      array: 'list',
      string: 'text',
      boolean: 'boolean (true or false)',
    }[expected] ?? expected;
  return word === 'text' ? word : `a ${word}`;
}

/** Keys that the schema has at a path; list indexes are followed through the item schema. */
function knownKeys(path: readonly (string | number)[]): readonly string[] {
  let node: unknown = z.toJSONSchema(configSchema, { io: 'input' });
  for (const part of path) {
    const branches = branchesOf(node);
    node = branches
      .map((branch) =>
        typeof part === 'number'
          ? branch['items']
          : (branch['properties'] as Record<string, unknown> | undefined)?.[part],
      )
      .find((next) => next !== undefined);
  }
  return branchesOf(node).flatMap((branch) => Object.keys((branch['properties'] as object | undefined) ?? {}));
}

function branchesOf(node: unknown): Record<string, unknown>[] {
  if (typeof node !== 'object' || node === null) return [];
  const schema = node as Record<string, unknown>;
  return [schema, ...(Array.isArray(schema['anyOf']) ? (schema['anyOf'] as Record<string, unknown>[]) : [])];
}

function checkSuites(suites: readonly SuiteConfig[], environments: readonly Environment[]): Problem[] {
  const problems: Problem[] = [];
  const first = new Map<string, number>();
  suites.forEach((suite, index) => {
    const other = first.get(suite.name);
    if (other !== undefined) {
      problems.push({ path: ['suites', index, 'name'], message: `the same name as suites[${other}]` });
    } else {
      first.set(suite.name, index);
    }
    suite.environments.forEach((glob, at) => {
      // Without any environment that is the problem, and said already.
      if (environments.length > 0 && !environments.some((environment) => matchesEnvironment(glob, environment))) {
        const near = suggest(
          glob,
          environments.flatMap(({ name, driver }) => [name, driver]),
        );
        problems.push({
          path: ['suites', index, 'environments', at],
          message: `'${glob}' matches no environment${near === undefined ? '' : `; did you mean ${near}?`} (there are ${environments.map(({ name }) => name).join(', ')})`,
        });
      }
    });
  });
  return problems;
}
