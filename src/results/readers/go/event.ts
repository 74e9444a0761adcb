/**
 * What `go test -json` says in one line, and what plain text is turned into: the common language of the two Go readers.
 *
 * @see {@link https://pkg.go.dev/cmd/test2json} for the meaning of the fields
 * @see {@link https://pkg.go.dev/cmd/go#hdr-Build__json_encoding} for `build-output` and `build-fail`
 */
export interface GoEvent {
  readonly action: GoAction;
  /** '' when not given: a single test binary, or text whose package line has not come yet. */
  readonly package: string;
  readonly test?: string | undefined;
  /** ISO 8601 in UTC. */
  readonly at?: string | undefined;
  readonly elapsedSeconds?: number | undefined;
  /** Part of the output with its line ends: a line, several, or a piece of one. */
  readonly output?: string | undefined;
  /** `frame`, `error` or `error-continue`, from Go versions that tell. */
  readonly outputType?: string | undefined;
  /** Import path of the build that failed, on a package's `fail`. */
  readonly failedBuild?: string | undefined;
  /** Import path, on build events. */
  readonly importPath?: string | undefined;
  /** Of an attribute. */
  readonly key?: string | undefined;
  readonly value?: string | undefined;
  /** Folder of a test's artifacts. */
  readonly path?: string | undefined;
}

export const GO_ACTIONS = [
  'start',
  'run',
  'pause',
  'cont',
  'pass',
  'bench',
  'fail',
  'output',
  'skip',
  'attr',
  'artifacts',
  'build-output',
  'build-fail',
] as const;

export type GoAction = (typeof GO_ACTIONS)[number];

const KNOWN: ReadonlySet<string> = new Set(GO_ACTIONS);

export function isGoAction(word: string): word is GoAction {
  return KNOWN.has(word);
}
