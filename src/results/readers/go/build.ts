import type { Failure } from '../../model.js';
import type { Emit } from '../../reader.js';
import { detach } from './failure-lines.js';

/** Output of one build, bounded. */
export interface Build {
  readonly package: string;
  hasFailed: boolean;
  /** A package that failed has named it as the reason. */
  isReported: boolean;
  add(output: string): void;
  end(): void;
  failure(): Failure;
}

const COMPILER = /^(\S+\.(?:go|s|c|h)):(\d+)(?::\d+)?: (.*)$/;

export function createBuild(importPath: string, emit: Emit): Build {
  const name = packageOfBuild(importPath);
  const lines: string[] = [];
  let size = 0;
  let rest = '';
  const take = (line: string): void => {
    emit({ type: 'output', package: name, text: line });
    size += line.length + 1;
    if (size <= 60 * 1024) lines.push(detach(line));
  };
  return {
    package: name,
    hasFailed: false,
    isReported: false,
    add(output) {
      const parts = (rest + output).split('\n');
      rest = parts.pop() ?? '';
      parts.forEach(take);
      if (rest.length > 64 * 1024) {
        take(rest);
        rest = '';
      }
    },
    end() {
      if (rest !== '') take(rest);
      rest = '';
    },
    failure: () => buildFailureOf(lines),
  };
}

/** Reason of a failed build from what the compiler, vet or the loader printed. */
export function buildFailureOf(lines: readonly string[], kind: 'build' | 'setup' = 'build'): Failure {
  const said = lines.filter((line) => line.trim() !== '');
  const lead = said.find((line) => COMPILER.test(line)) ?? said.find((line) => !line.startsWith('#')) ?? said[0];
  const match = lead === undefined ? null : COMPILER.exec(lead);
  return {
    message: (lead ?? `${kind} failed`).trim().slice(0, 1000),
    ...(said.length === 0 ? {} : { text: said.join('\n') }),
    kind,
    ...(match?.[1] === undefined ? {} : { file: match[1], line: Number(match[2]) }),
  };
}

/** `a/b [a/b.test]`, the way the go command names a package built for a test, means `a/b`. */
export function packageOfBuild(importPath: string): string {
  const at = importPath.indexOf(' [');
  return at < 0 ? importPath : importPath.slice(0, at);
}
