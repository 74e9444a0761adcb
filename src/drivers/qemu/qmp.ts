import { connect } from 'node:net';

import { MkCiError, messageOf } from '../../errors.js';
import { createLineCutter, parseQmpLine, type QmpEvent } from './qmp-messages.js';

export interface QmpCallOptions {
  readonly signal?: AbortSignal | undefined;
  /** @default 10000 */
  readonly timeoutMs?: number;
}

/** A conversation with the monitor of one running QEMU. It serves one client at a time: keep it short. */
export interface QmpClient extends Disposable {
  /** `major.minor.micro` of QEMU. */
  readonly version: string;
  /** Runs a command. @throws {MkCiError} `DRV_FAILED` with QEMU's words, when it does not answer in time or ends */
  execute(command: string, args?: Readonly<Record<string, unknown>>, options?: QmpCallOptions): Promise<unknown>;
  /** Runs a line of the monitor for people. @returns what it prints, which is '' for most that succeed */
  monitor(line: string, options?: QmpCallOptions): Promise<string>;
  /** The first event of this name from now on. @throws {MkCiError} `DRV_FAILED` when QEMU ends or time runs out */
  nextEvent(name: string, options?: QmpCallOptions): Promise<QmpEvent>;
}

const DEFAULT_MS = 10_000;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Connects to a monitor socket and leaves its negotiation mode.
 *
 * @throws {MkCiError} `DRV_FAILED` when nobody listens, or it does not speak the protocol in time
 */
export async function connectQmp(path: string, options: QmpCallOptions = {}): Promise<QmpClient> {
  options.signal?.throwIfAborted();
  const socket = connect(path);
  socket.setEncoding('utf8');
  const calls = new Map<number, Waiting>();
  const listeners = new Set<(event: QmpEvent) => void>();
  const failures = new Set<(error: Error) => void>();
  let lastId = 0;
  let end: MkCiError | undefined;
  let greeted: Waiting | undefined;

  const fail = (message: string, cause?: unknown): void => {
    if (end !== undefined) return;
    end = new MkCiError('DRV_FAILED', { message, ...(cause === undefined ? {} : { cause }) });
    greeted?.reject(end);
    for (const { reject } of calls.values()) reject(end);
    for (const onFailure of [...failures]) onFailure(end);
    calls.clear();
    socket.destroy();
  };
  const take = (line: string): void => {
    const message = parseQmpLine(line);
    switch (message.kind) {
      case 'greeting':
        greeted?.resolve(message.version);
        return;
      case 'event':
        for (const listener of [...listeners]) listener({ name: message.name, data: message.data });
        return;
      case 'success':
      case 'failure': {
        // An answer without an id is to a line that QEMU could not read: it has one conversation, so it is to the oldest.
        const id = message.id ?? calls.keys().next().value ?? -1;
        const call = calls.get(id);
        calls.delete(id);
        if (message.kind === 'success') call?.resolve(message.value);
        else call?.reject(new MkCiError('DRV_FAILED', { message: `QEMU: ${message.reason}` }));
        return;
      }
      case 'unknown':
        fail(`the monitor ${path} says what is not of its protocol: ${message.text}`);
    }
  };
  const cut = createLineCutter();
  socket.on('data', (piece: string) => {
    for (const line of cut(piece)) take(line);
  });
  socket.on('error', (error) => {
    fail(`the monitor ${path}: ${messageOf(error)}`, error);
  });
  socket.on('close', () => {
    fail('QEMU has ended');
  });

  const limited = async <T>(
    what: string,
    { signal, timeoutMs = DEFAULT_MS }: QmpCallOptions,
    begin: (waiting: { resolve: (value: T) => void; reject: (error: Error) => void }) => () => void,
  ): Promise<T> => {
    signal?.throwIfAborted();
    if (end !== undefined) throw end;
    let undo = (): void => undefined;
    let timer: NodeJS.Timeout | undefined;
    let onAbort: (() => void) | undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        failures.add(reject);
        timer = setTimeout(() => {
          reject(new MkCiError('DRV_FAILED', { message: `QEMU: no ${what} within ${timeoutMs / 1000} s` }));
        }, timeoutMs);
        onAbort = () => {
          reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
        };
        signal?.addEventListener('abort', onAbort, { once: true });
        const forget = begin({ resolve, reject });
        undo = () => {
          failures.delete(reject);
          forget();
        };
      });
    } finally {
      clearTimeout(timer);
      if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
      undo();
    }
  };

  const execute: QmpClient['execute'] = async (command, args, callOptions = {}) => {
    lastId += 1;
    const id = lastId;
    return await limited<unknown>(`answer to ${command}`, callOptions, (waiting) => {
      calls.set(id, waiting);
      const request = { execute: command, id, ...(args === undefined ? {} : { arguments: args }) };
      socket.write(`${JSON.stringify(request)}\n`);
      return () => calls.delete(id);
    });
  };

  try {
    const version = await limited<unknown>('greeting', options, (waiting) => {
      greeted = waiting;
      return () => {
        greeted = undefined;
      };
    });
    await execute('qmp_capabilities', undefined, options);
    return {
      version: String(version),
      execute,
      monitor: async (line, callOptions = {}) => {
        const said = await execute('human-monitor-command', { 'command-line': line }, callOptions);
        return typeof said === 'string' ? said.trimEnd() : '';
      },
      nextEvent: async (name, callOptions = {}) =>
        await limited<QmpEvent>(`event ${name}`, callOptions, ({ resolve }) => {
          const listener = (event: QmpEvent): void => {
            if (event.name === name) resolve(event);
          };
          listeners.add(listener);
          return () => listeners.delete(listener);
        }),
      [Symbol.dispose]: () => {
        end ??= new MkCiError('DRV_FAILED', { message: 'the conversation with QEMU was closed' });
        socket.destroy();
      },
    };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
