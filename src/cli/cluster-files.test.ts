import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Machine } from '../drivers/index.js';
import { isMkCiError, type ErrorCode } from '../errors.js';
import { exec } from '../exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import {
  buildCopyCommand,
  buildSshCommand,
  copyBetween,
  localSide,
  parseLocation,
  remoteSide,
} from './cluster-files.js';
import { callCommand, createTestContext } from './call.test-kit.js';

const { signal } = new AbortController();
const codeOf = async (promise: Promise<unknown>, code: ErrorCode): Promise<boolean> =>
  isMkCiError(await promise.catch((error: unknown) => error), code);

describe('where a path is', () => {
  it('is the node before the colon, the control plane without one, else this host', () => {
    expect(parseLocation('worker-1:/etc/hosts')).toEqual({ node: 'worker-1', path: '/etc/hosts' });
    expect(parseLocation(':/a:b')).toEqual({ node: '', path: '/a:b' });
    for (const path of ['a', './a:b', '/a:/b', 'C:\\x', '../x', 'A:/b']) expect(parseLocation(path)).toEqual({ path });
  });

  it('can be written for every node and every path', () => {
    const node = fc.stringMatching(/^[a-z]([a-z0-9-]{0,10}[a-z0-9])?$/);
    fc.assert(
      fc.property(node, fc.string(), (name, text) => {
        expect(parseLocation(`${name}:/${text}`)).toEqual({ node: name, path: `/${text}` });
        expect(parseLocation(`./${text}`)).toEqual({ path: `./${text}` });
      }),
    );
  });

  it('is refused for a node when it does not begin at its root, with the way to write it', () => {
    expect(() => parseLocation('worker-1:etc')).toThrow(/worker-1:etc.*begins with/);
  });
});

describe('copies', () => {
  let temporary: TemporaryFolder;
  beforeEach(async () => {
    temporary = await createTemporaryFolder();
  });
  afterEach(async () => {
    await temporary[Symbol.asyncDispose]();
  });

  /** A machine that is a part of this host, with paths as they are here. */
  const machine = (name: string): Machine => {
    const copy = async (from: string, to: string): Promise<void> => {
      await exec(['cp', '-rT', from, to]);
    };
    return {
      name,
      internalAddress: '',
      exec,
      copyTo: copy,
      copyFrom: copy,
      endpoint: async () => ({ host: '', port: 0 }),
    };
  };
  const at = (...parts: string[]): string => join(temporary.path, ...parts);

  it('go to a node, from it, and from one to another', async () => {
    await writeFile(at('a'), 'text');
    await copyBetween(localSide(at('a')), remoteSide(machine('n1'), at('b')), signal);
    await copyBetween(remoteSide(machine('n1'), at('b')), remoteSide(machine('n2'), at('c')), signal);
    await copyBetween(remoteSide(machine('n2'), at('c')), localSide(at('d')), signal);
    expect(await readFile(at('d'), 'utf8')).toBe('text');
  });

  it('go into a folder under their own name, and replace files', async () => {
    await mkdir(at('folder', 'sub'), { recursive: true });
    await mkdir(at('there'));
    await writeFile(at('folder', 'sub', 'x'), '1');
    await copyBetween(localSide(at('folder')), remoteSide(machine('n'), at('there')), signal);
    expect(await readFile(at('there', 'folder', 'sub', 'x'), 'utf8')).toBe('1');
    await writeFile(at('x'), '2');
    await copyBetween(remoteSide(machine('n'), at('x')), localSide(`${at('folder', 'sub')}/`), signal);
    expect(await readFile(at('folder', 'sub', 'x'), 'utf8')).toBe('2');
  });

  it('do not replace a folder, nor anything by a folder', async () => {
    await mkdir(at('a', 'b'), { recursive: true });
    await mkdir(at('b', 'b'), { recursive: true });
    await writeFile(at('file'), '');
    const into = remoteSide(machine('n'), at('a'));
    expect(await codeOf(copyBetween(localSide(at('b')), into, signal), 'CLI_USAGE')).toBe(true);
    expect(
      await codeOf(copyBetween(localSide(at('b')), remoteSide(machine('n'), at('file')), signal), 'CLI_USAGE'),
    ).toBe(true);
  });

  it('of what is not there say so', async () => {
    const copy = copyBetween(remoteSide(machine('n'), at('none')), localSide(at('x')), signal);
    expect(await codeOf(copy, 'CLI_NO_INPUT')).toBe(true);
  });

  it('of one path of this host to another are refused before a cluster is asked for', async () => {
    const command = () => buildCopyCommand(createTestContext('/').context, () => ({ machineOf: fail }));
    const { code } = await callCommand(command, ['demo', 'a', 'b'], createTestContext('/'));
    expect(code).toBe('CLI_USAGE');
  });
});

describe('a session', () => {
  it('is a login shell, a line for a shell, or a command, in the node that is named; its exit code is ours', async () => {
    const asked: unknown[] = [];
    const calls: unknown[] = [];
    const build = (context: Parameters<typeof buildSshCommand>[0]) =>
      buildSshCommand(context, () => ({
        machineOf: async (...args) => {
          asked.push(args.slice(0, 2));
          return {
            name: 'm',
            internalAddress: '',
            exec,
            copyTo: fail,
            copyFrom: fail,
            endpoint: fail,
            session: async (argv) => {
              calls.push(argv);
              return 4;
            },
          };
        },
      }));
    const test = createTestContext('/');
    await callCommand(build, ['demo'], test);
    await callCommand(build, ['demo', '--', 'ls | wc'], test);
    const { exitCode } = await callCommand(build, ['demo', '--node', 'worker-1', '--', 'ls', '-l'], test);
    expect(asked).toEqual([
      ['demo', undefined],
      ['demo', undefined],
      ['demo', 'worker-1'],
    ]);
    expect(calls.slice(1)).toEqual([
      ['sh', '-c', 'ls | wc'],
      ['ls', '-l'],
    ]);
    expect(calls[0]).toEqual(['sh', '-c', expect.stringContaining('bash')]);
    expect(exitCode).toBe(4);
  });
});

const fail = async (): Promise<never> => {
  throw new Error('was called');
};
