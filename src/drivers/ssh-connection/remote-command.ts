import type { Argv } from '../../exec.js';

/** What is sent to the shell at the other end. Pure. */

/** Marks everything that one call started there, so that it can be ended. */
const CALL_VARIABLE = 'MK_CI_CALL';

export interface RemoteCommand {
  readonly argv: Argv;
  /** Names the call; see {@link renderEndCall}. */
  readonly call: string;
  readonly cwd?: string | undefined;
  /** Added to the environment of the login; `undefined` values are left out. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Runs it as root by way of `sudo`, which must not ask for anything. @default false */
  readonly asRoot?: boolean | undefined;
}

/** One line for a POSIX shell, which becomes the program: how that ends is how the line ends. */
export function renderCommand({ argv, call, cwd, env = {}, asRoot = false }: RemoteCommand): string {
  const all: Readonly<Record<string, string | undefined>> = { ...env, [CALL_VARIABLE]: call };
  const variables = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  // Within sudo, which hands on next to nothing of the environment.
  const become = asRoot ? ['sudo', '-n', '--'] : [];
  const command = ['exec', ...become, 'env', ...variables, ...argv].map(quoteForShell).join(' ');
  return cwd === undefined ? command : `cd ${quoteForShell(cwd)} && ${command}`;
}

/** Ends all that a call started, whatever its group: SIGTERM, and SIGKILL for what is there after the grace time. */
export function renderEndCall(call: string, graceMs: number): string {
  const tries = Math.max(1, Math.ceil(graceMs / 100));
  return [
    `marked() { grep -lzs '^${CALL_VARIABLE}=${call}$' /proc/[0-9]*/environ | sed 's#[^0-9]##g'; }`,
    'kill -TERM $(marked) 2>/dev/null',
    'i=0',
    `while [ $i -lt ${tries} ] && [ -n "$(marked)" ]; do sleep 0.1; i=$((i+1)); done`,
    'kill -KILL $(marked) 2>/dev/null',
    'true',
  ].join('; ');
}

export function quoteForShell(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Puts standard input at a path: a file as a whole, a folder from a tar stream; parents are made. */
export function receiveCommand(remotePath: string, kind: { readonly isFolder: boolean; readonly mode: number }): Argv {
  const script = kind.isFolder
    ? 'mkdir -p "$(dirname "$1")" && rm -rf "$1.mk-ci" && mkdir "$1.mk-ci" && tar -xf - -C "$1.mk-ci" && rm -rf "$1" && mv -T "$1.mk-ci" "$1"'
    : 'mkdir -p "$(dirname "$1")" && cat >"$1.mk-ci" && chmod "$2" "$1.mk-ci" && mv -fT "$1.mk-ci" "$1"';
  return ['sh', '-c', script, 'sh', remotePath, kind.mode.toString(8)];
}
