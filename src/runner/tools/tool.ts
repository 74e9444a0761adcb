import type { Argv } from '../../exec.js';
import type { ShardInfo, TestResult } from '../../results/model.js';

/** What a rerun must run, and what it should leave alone. */
export interface RerunRequest {
  /** Tests to run again; each has run before. */
  readonly failed: readonly TestResult[];
  /** All other tests of the cell: running them again is waste. */
  readonly others: readonly TestResult[];
  /** Packages that must run in whole: they failed by themselves, or ended before all their tests ran. */
  readonly wholePackages: readonly string[];
  /** Whether a path exists, relative to the working folder of the suite. */
  readonly exists: (path: string) => boolean;
}

/** How to run a part of the tests of one tool. Every function is pure and gives arguments, or `undefined` when it can not. */
export interface TestTool {
  readonly name: string;
  /**
   * Where the arguments of the tool begin.
   *
   * @param words of the command, launchers such as `npx` or `env A=1` already taken off
   * @returns index into `words`, or `undefined` when this is not the tool
   */
  readonly argumentsAt: (words: readonly string[]) => number | undefined;
  /** Arguments of one or more calls that run exactly these tests again. */
  readonly rerun: (args: readonly string[], request: RerunRequest) => readonly (readonly string[])[] | undefined;
  /** Arguments that run the tests whose name matches a pattern in the tool's own language. */
  readonly select: (args: readonly string[], pattern: string) => readonly string[] | undefined;
  /** Arguments for one shard, by the tool's own sharding. Absent for tools that have none. */
  readonly shard?: (args: readonly string[], shard: ShardInfo) => readonly string[] | undefined;
  /** Sharding by names, for tools that can list their tests. */
  readonly listing?: TestListing;
}

export interface TestListing {
  /** Arguments that print the tests without running them. */
  readonly list: (args: readonly string[]) => readonly string[];
  readonly parse: (output: string) => readonly { readonly package: string; readonly name: string }[];
  /** Arguments that run the tests with these names, in all packages that have one. */
  readonly run: (args: readonly string[], names: readonly string[], packages: readonly string[]) => readonly string[];
}

/** A command split into launcher, tool and its arguments. */
export interface ToolCommand {
  readonly tool: TestTool;
  /** Everything up to the tool's arguments. */
  readonly front: Argv;
  readonly args: readonly string[];
}
