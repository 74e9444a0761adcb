import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';

import { MkCiError } from '../../../errors.js';
import type { Exec, ExecResult } from '../../../exec.js';
import { LABEL_VARIABLE, formatLabels } from '../../../process.js';
import { startTestServer, type TestServer } from '../../ssh-connection/testing/server.js';
import { createLineCutter } from '../qmp-messages.js';

/**
 * QEMU as far as the driver sees it, for tests: a process with labels, a monitor with states, snapshots in the disk's file,
 * and a guest that is a shell of this host behind ssh.
 */
export interface FakeQemu extends AsyncDisposable {
  readonly exec: Exec;
  /** Commands of the host so far. */
  readonly calls: readonly (readonly string[])[];
  /** What the guests were asked. */
  readonly guestCommands: () => readonly string[];
  /** Memory that machines went on with. */
  readonly memories: readonly string[];
  /** The guest does not act on the power button. */
  ignoresPowerButton: boolean;
  /** File with the memory of the machines, where it lies in one. */
  sharedMemory: string | undefined;
  /** Capabilities of migration that were set last, for each machine that is there. */
  readonly capabilities: () => readonly (readonly string[])[];
  /** What guests were told at their consoles. */
  readonly times: readonly string[];
  /** What they answer there; nothing when it is empty. @default 'set' */
  clockAnswer: string;
  /** What the monitor says of the second network card. @default that it is connected */
  network: string;
  /** What is said of memory that is written or read. @default 'completed' */
  migration: string;
}

interface MonitorArguments {
  readonly 'command-line'?: string;
  readonly uri?: string;
  readonly capabilities?: readonly { readonly capability: string; readonly state: boolean }[];
}

interface Running {
  status: 'running' | 'paused';
  readonly child: ReturnType<typeof spawn>;
  readonly ssh: TestServer;
  readonly monitor: Server;
  readonly clock: Server | undefined;
  readonly sockets: Socket[];
  readonly capabilities: Set<string>;
}

export function createFakeQemu(options: { readonly works: readonly string[] }): FakeQemu {
  const calls: string[][] = [];
  const machines = new Set<Running>();
  const servers: TestServer[] = [];
  const memories: string[] = [];
  const times: string[] = [];
  const result = (change: Partial<ExecResult>): ExecResult => ({
    ...{ argv: ['qemu'], stdout: '', stderr: '', exitCode: 0, signal: undefined, timedOut: false, aborted: false },
    ...{ leftChildren: false, durationMs: 1 },
    ...change,
  });
  const after = (argv: readonly string[], flag: string): string => argv[argv.indexOf(flag) + 1] ?? '';
  const valueIn = (argv: readonly string[], pattern: RegExp): string =>
    argv.map((part) => pattern.exec(part)?.[1]).find((part) => part !== undefined) ?? '';

  const end = async (machine: Running): Promise<void> => {
    machines.delete(machine);
    for (const socket of machine.sockets) socket.destroy();
    machine.monitor.close();
    machine.clock?.close();
    machine.child.kill('SIGKILL');
    await machine.ssh[Symbol.asyncDispose]();
  };
  const launch = async (argv: readonly string[], labels: string): Promise<void> => {
    const disk = valueIn(argv, /^file=(.*\.qcow2),/);
    const seed = await readFile(valueIn(argv, /^file=(.*\.iso),/), 'latin1');
    const hostKey =
      /-----BEGIN OPENSSH PRIVATE KEY-----\n[^\\]*?-----END OPENSSH PRIVATE KEY-----/.exec(seed)?.[0] ?? '';
    const userKey = /ssh-ed25519 \S+ mk-ci/.exec(seed)?.[0] ?? '';
    const child = spawn('sleep', ['1000'], { env: { ...process.env, [LABEL_VARIABLE]: labels }, stdio: 'ignore' });
    const ssh = await startTestServer({
      hostKeys: { privateKey: `${hostKey}\n`, publicKey: '' },
      userKeys: { privateKey: '', publicKey: userKey },
      // A guest sets its own clock and size, not those of this host.
      replace: (command) => (/ (?:date|resize2fs) /.test(command) ? 'true' : command),
    });
    servers.push(ssh);
    const sockets: Socket[] = [];
    const monitor = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.write('{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": []}}\r\n');
      const cut = createLineCutter();
      socket.on('data', (piece) => {
        for (const line of cut(String(piece))) {
          const request = JSON.parse(line) as { execute: string; id: number; arguments?: MonitorArguments };
          const { 'command-line': said, uri, capabilities } = request.arguments ?? {};
          for (const { capability, state } of capabilities ?? []) {
            if (state) machine.capabilities.add(capability);
            else machine.capabilities.delete(capability);
          }
          void answer(request.execute, said ?? uri ?? '').then((value) => {
            socket.write(`${JSON.stringify({ return: value, id: request.id })}\r\n`);
          });
        }
      });
    });
    const clockSocket = valueIn(argv, /^socket,id=clock0,path=(.*),server=on/);
    const clock = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', (piece) => {
        times.push(String(piece));
        if (fake.clockAnswer !== '') socket.write(`${fake.clockAnswer}\n`);
      });
    });
    const machine: Running = {
      status: argv.includes('-incoming') ? 'paused' : 'running',
      child,
      ssh,
      monitor,
      clock: clockSocket === '' ? undefined : clock,
      sockets,
      capabilities: new Set(),
    };
    machines.add(machine);
    child.on('exit', () => void end(machine));
    const answer = async (command: string, line: string): Promise<unknown> => {
      if (command === 'query-status') return { status: machine.status, running: machine.status === 'running' };
      if (command === 'stop') machine.status = 'paused';
      if (command === 'cont') machine.status = 'running';
      if (command === 'quit' || (command === 'system_powerdown' && !fake.ignoresPowerButton)) child.kill('SIGKILL');
      if (command === 'query-migrate') return { status: fake.migration, 'error-desc': 'as the test wants it' };
      const memory = /^exec:cat >?'(.*)'$/.exec(line)?.[1] ?? '';
      if (command === 'migrate') {
        await writeFile(memory, `${machine.capabilities.size > 0 ? 'devices' : 'memory'} of ${disk}`);
      }
      if (command === 'migrate-incoming') {
        const view = valueIn(argv, /^memory-backend-file,.*mem-path=(.*)$/);
        const parts = [memory, ...(view === '' ? [] : [view])];
        memories.push((await Promise.all(parts.map(async (path) => await readFile(path, 'utf8')))).join(' and '));
      }
      const [verb, snapshot = ''] = line.split(' ');
      if (line === 'info network') return fake.network;
      if (verb === 'info') return `  TCP[HOST_FORWARD]  9  127.0.0.1 ${ssh.target.port}  10.0.2.15  22  0  0\r\n`;
      if (verb === 'savevm') await changeSnapshots(disk, (names) => [...names, snapshot]);
      if (verb === 'delvm') await changeSnapshots(disk, (names) => names.filter((name) => name !== snapshot));
      if (verb === 'loadvm' && !(await readSnapshots(disk)).includes(snapshot))
        return `Error: Snapshot '${snapshot}' does not exist in one or more devices\r\n`;
      return command === 'human-monitor-command' ? '' : {};
    };
    if (clockSocket !== '') {
      clock.listen(clockSocket);
      await once(clock, 'listening');
    }
    monitor.listen(valueIn(argv, /^unix:(.*),server=on/));
    await once(monitor, 'listening');
    await writeFile(after(argv, '-pidfile'), `${child.pid ?? 0}\n`);
  };

  const fake: FakeQemu = {
    calls,
    memories,
    times,
    clockAnswer: 'set',
    ignoresPowerButton: false,
    // As QEMU 7.2 prints it.
    network: ' \\ net1: index=0,type=stream,unix:/run/socket_vmnet\r\n',
    migration: 'completed',
    sharedMemory: undefined,
    capabilities: () => [...machines].map(({ capabilities }) => [...capabilities]),
    guestCommands: () => servers.flatMap(({ commands }) => commands),
    exec: async (argv, execOptions = {}) => {
      calls.push([...argv]);
      execOptions.signal?.throwIfAborted();
      const [program] = argv;
      if (argv.includes('--version')) return result({ stdout: 'QEMU emulator version 7.2.22 (Debian)\n' });
      if (program === 'qemu-img' && argv[1] === 'create') {
        await writeFile(argv.findLast((part) => part.endsWith('.qcow2')) ?? '', '{"snapshots": []}');
        return result({});
      }
      if (program === 'qemu-img' && argv[1] === 'rebase') return result({});
      if (program === 'qemu-img' && argv[1] === 'info')
        return result({ stdout: await readFile(argv.at(-1) ?? '', 'utf8') });
      if (argv.includes('help')) return result({ stdout: 'Accelerators supported in QEMU binary:\ntcg\nkvm\n' });
      if (argv.includes('-boot')) return result({ exitCode: options.works.includes(after(argv, '-accel')) ? 33 : 1 });
      if (argv.includes('-daemonize')) {
        await launch(argv, formatLabels(execOptions.labels ?? {}));
        return result({});
      }
      throw new MkCiError('HOST_MISSING_TOOL', { message: `the fake QEMU does not know: ${argv.join(' ')}` });
    },
    [Symbol.asyncDispose]: async () => {
      for (const machine of [...machines]) await end(machine);
    },
  };
  return fake;
}

async function readSnapshots(disk: string): Promise<string[]> {
  const content = JSON.parse(await readFile(disk, 'utf8')) as { snapshots: { name: string }[] };
  return content.snapshots.map(({ name }) => name);
}

async function changeSnapshots(disk: string, change: (names: string[]) => string[]): Promise<void> {
  const snapshots = change(await readSnapshots(disk)).map((name) => ({ name }));
  await writeFile(disk, JSON.stringify({ snapshots }));
}
