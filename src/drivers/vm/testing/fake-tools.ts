import { once } from 'node:events';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { delimiter, join } from 'node:path';

import { commandError, exec as realExec, type Exec, type ExecResult } from '../../../exec.js';
import { createTemporaryFolder } from '../../../files.js';

export interface FakeCall {
  /** Without the program. */
  readonly args: readonly string[];
  readonly pid: number;
  /** `MK_CI_LABELS` of its environment. */
  readonly labels: string;
}

export interface FakeAnswer {
  readonly stdout?: string;
  readonly stderr?: string;
  /** @default 0 */
  readonly exitCode?: number;
  /** The program goes on until it is ended; called when it is. */
  readonly onEnd?: () => void;
}

export type FakeTool = (call: FakeCall) => Promise<FakeAnswer> | FakeAnswer;

/**
 * Executables in a folder that is first in PATH. Each asks this process what to say, so that their state is that of the test.
 * Without `asPrograms` the answer comes without a process in between, a hundred times faster.
 */
export interface FakeTools extends AsyncDisposable {
  readonly exec: Exec;
  /** Program and arguments of every call so far. */
  readonly calls: readonly (readonly string[])[];
  /** Path of the executable of a tool. */
  readonly pathOf: (tool: string) => string;
}

export async function installFakeTools(
  tools: Readonly<Record<string, FakeTool>>,
  { asPrograms = false }: { readonly asPrograms?: boolean } = {},
): Promise<FakeTools> {
  const folder = await createTemporaryFolder('mkt-');
  const calls: string[][] = [];
  const sockets = new Set<Socket>();
  const socketPath = join(folder.path, 's');
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    let text = '';
    socket.on('data', (piece) => {
      text += String(piece);
      if (!text.endsWith('\n')) return;
      const { tool, ...call } = JSON.parse(text) as FakeCall & { readonly tool: string };
      calls.push([tool, ...call.args]);
      void answer(tool, call).then(({ onEnd, ...said }) => {
        if (onEnd === undefined) {
          socket.end(JSON.stringify(said));
        } else {
          socket.on('close', onEnd);
        }
      });
    });
  });
  const answer = async (tool: string, call: FakeCall): Promise<FakeAnswer> => {
    try {
      return (await tools[tool]?.(call)) ?? { exitCode: 127, stderr: `no fake of ${tool}\n` };
    } catch (error) {
      return { exitCode: 99, stderr: `the fake ${tool} failed: ${String(error)}\n` };
    }
  };
  server.listen(socketPath);
  await once(server, 'listening');
  const programs = join(folder.path, 'bin');
  await mkdir(programs);
  for (const tool of Object.keys(tools)) {
    await writeFile(join(programs, tool), program(tool, socketPath));
    await chmod(join(programs, tool), 0o755);
  }
  return {
    calls,
    pathOf: (tool) => join(programs, tool),
    exec: async (argv, options = {}) => {
      const env = options.env ?? process.env;
      if (!asPrograms && Object.hasOwn(tools, argv[0])) {
        options.signal?.throwIfAborted();
        calls.push([...argv]);
        const {
          stdout = '',
          stderr = '',
          exitCode = 0,
        } = await answer(argv[0], { args: argv.slice(1), pid: 0, labels: '' });
        const end = { signal: undefined, timedOut: false, aborted: false, leftChildren: false, durationMs: 1 };
        const result: ExecResult = { ...end, argv, stdout, stderr, exitCode };
        if (exitCode !== 0 && options.allowFailure !== true) throw commandError(result, options);
        return result;
      }
      // As a path, since a program is looked up in the PATH of this process and not in that of its child.
      const [name, ...args] = argv;
      const found = Object.hasOwn(tools, name) ? join(programs, name) : name;
      const path = `${programs}${delimiter}${env['PATH'] ?? ''}`;
      return await realExec([found, ...args], { ...options, env: { ...env, PATH: path } });
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** A program that sends its arguments, says what comes back, and stays for as long as nothing does. */
function program(tool: string, socketPath: string): string {
  return `#!${process.execPath}
const socket = require('node:net').connect(${JSON.stringify(socketPath)});
const call = { tool: ${JSON.stringify(tool)}, args: process.argv.slice(2), pid: process.pid, labels: process.env.MK_CI_LABELS ?? '' };
let text = '';
socket.on('data', (piece) => (text += piece));
socket.on('error', () => process.exit(98));
socket.on('end', () => {
  const { stdout = '', stderr = '', exitCode = 0 } = JSON.parse(text || '{}');
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exitCode = exitCode;
});
socket.write(JSON.stringify(call) + '\\n');
`;
}
