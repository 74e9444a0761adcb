import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';

import ssh2 from 'ssh2';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { isMkCiError } from '../../errors.js';
import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { findKnownKeys, fingerprintOf, generateKeyPair } from '../ssh-connection/index.js';
import { startTestServer, type TestServer } from '../ssh-connection/testing/server.js';
import { mustReach } from './reach.js';
import { createSshDriver } from './ssh-driver.js';
import type { SshUser } from './ssh-host.js';
import { readSshOptions } from './ssh-options.js';
import { ENCRYPTED_KEY, startFakeAgent } from './testing/fake-agent.js';

const hostKeys = await generateKeyPair('host');
const otherKeys = await generateKeyPair('other');
const userKeys = await generateKeyPair('user');
const keyOf = (text: string): string => text.split(' ').slice(0, 2).join(' ');
const { signal } = new AbortController();

describe('options', () => {
  const read = (options: Record<string, unknown>) => readSshOptions(options, { home: '/home/me' });

  it('may be one address or its parts', () => {
    expect(read({ host: 'ci@h:2222' })).toMatchObject({ user: 'ci', host: 'h', port: 2222 });
    expect(read({ host: 'h', port: 2222, user: 'ci' })).toMatchObject({ user: 'ci', host: 'h', port: 2222 });
    expect(read({ host: '[2001:db8::1]:23' })).toMatchObject({ user: 'root', host: '2001:db8::1', port: 23 });
    expect(read({ host: 'h', key: '~/k', jump: 'j' })).toMatchObject({
      key: '/home/me/k',
      jump: { host: 'j', port: 22 },
    });
  });

  it.each([
    {},
    { host: '-oProxyCommand=x' },
    { host: 'a b' },
    { host: 'h', port: 0 },
    { host: 'h', hostKey: 'yes' },
    { host: 'h', key: 'k' },
  ])('%j are refused', (options) => {
    expect(() => read(options)).toThrow('driver ssh');
  });
});

describe('known hosts', () => {
  const address = { host: 'h', port: 2222 };
  const key = keyOf(hostKeys.publicKey);

  it('are found by name, with their port, and as a hash', () => {
    const salt = Buffer.alloc(20, 1);
    const hash = createHmac('sha1', salt).update('[h]:2222').digest('base64');
    for (const name of ['[h]:2222', 'a,[h]:2222', `|1|${salt.toString('base64')}|${hash}`])
      expect(findKnownKeys(`# c\n${name} ${key} comment\n`, address)).toEqual([key]);
    for (const name of ['h', '[h]:22', '@cert-authority [h]:2222', '*'])
      expect(findKnownKeys(`${name} ${key}\n`, address)).toEqual([]);
  });

  it('count for nothing once a key of theirs is revoked', () => {
    expect(findKnownKeys(`[h]:2222 ${key}\n@revoked [h]:2222 ${keyOf(otherKeys.publicKey)}\n`, address)).toEqual([]);
  });
});

describe('a check', { timeout: 60_000 }, () => {
  let folder: TemporaryFolder;
  let server: TestServer;
  let key: string;
  let answer: Record<string, string>;

  beforeEach(async () => {
    folder = await createTemporaryFolder();
    key = join(folder.path, 'key');
    await writeFile(key, userKeys.privateKey);
    answer = { id: 'echo 0', sudo: 'true', facts: 'echo arch x86_64' };
    server = await startTestServer({
      hostKeys,
      userKeys,
      replace: (line) => {
        if (line.endsWith(' id -u')) return answer['id'] ?? '';
        return line.endsWith(' sudo -n true') ? (answer['sudo'] ?? '') : `cat >/dev/null; ${answer['facts'] ?? ''}`;
      },
    });
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  const knownHostsFile = (): string => join(folder.path, 'own', 'known_hosts');
  const createDriver = (user: Partial<SshUser> = {}) =>
    createSshDriver({
      machinesFolder: join(folder.path, 'machines'),
      knownHostsFile: knownHostsFile(),
      home: folder.path,
      architecture: 'x64',
      ...user,
    });
  const target = () => ({ host: '127.0.0.1', port: server.target.port, user: server.target.user, key });
  const check = async (options: Record<string, unknown>) => {
    const { problems } = await createDriver().check(signal, { ...target(), ...options });
    return problems[0]?.reason;
  };

  it('says that no host is named, that one is not known, and shows its fingerprint', async () => {
    const driver = createSshDriver({
      machinesFolder: folder.path,
      knownHostsFile: knownHostsFile(),
      home: folder.path,
    });
    expect((await driver.check(signal)).problems[0]?.reason).toBe('DRV_SSH_NO_HOST');
    const { problems } = await driver.check(signal, { host: '127.0.0.1', port: server.target.port, key });
    expect(problems[0]).toMatchObject({ reason: 'NET_SSH_HOST_UNKNOWN' });
    expect(problems[0]?.message).toContain(fingerprintOf(hostKeys.publicKey));
  });

  it('notes a new key once, and never takes another one', async () => {
    expect(await check({ hostKey: 'accept-new' })).toBe('DRV_HOST_SYSTEMD');
    const noted = await readFile(knownHostsFile(), 'utf8');
    expect(noted).toBe(`[127.0.0.1]:${server.target.port} ${keyOf(hostKeys.publicKey)}\n`);
    await writeFile(knownHostsFile(), noted.replace(keyOf(hostKeys.publicKey), keyOf(otherKeys.publicKey)));
    expect(await check({ hostKey: 'accept-new' })).toBe('NET_SSH_HOST_KEY');
    expect(await readFile(knownHostsFile(), 'utf8')).toContain(keyOf(otherKeys.publicKey));
  });

  it('names a wrong key, one that is not there, and a host that refuses', async () => {
    const hostKey = keyOf(hostKeys.publicKey);
    await writeFile(key, otherKeys.privateKey);
    expect(await check({ hostKey })).toBe('NET_SSH_AUTH');
    expect(await check({ hostKey, key: join(folder.path, 'none') })).toBe('NET_SSH_AUTH');
    expect(await check({ hostKey, port: 1 })).toBe('NET_UNREACHABLE');
  });

  describe('with a key that is encrypted', () => {
    const { privateKey, publicKey, passphrase } = ENCRYPTED_KEY;
    const parsed = ssh2.utils.parseKey(privateKey, passphrase);
    const stranger = ssh2.utils.parseKey(otherKeys.privateKey);
    if (parsed instanceof Error || stranger instanceof Error) throw new Error('keys of this test can not be read');
    let login: TestServer;
    beforeEach(async () => {
      await writeFile(key, privateKey);
      login = await startTestServer({ hostKeys, userKeys: { privateKey, publicKey }, replace: () => 'echo 0' });
    });
    afterEach(async () => {
      await login[Symbol.asyncDispose]();
    });
    const problem = async (user: Partial<SshUser>) => {
      const options = { ...target(), port: login.target.port, hostKey: keyOf(hostKeys.publicKey) };
      return (await createDriver(user).check(signal, options)).problems[0];
    };

    it('says so where nobody can open it, and what to do', async () => {
      const refused = await problem({});
      expect(refused).toMatchObject({ reason: 'NET_SSH_AUTH' });
      expect(refused?.message).toContain(`${key} is encrypted`);
      expect(refused?.fix).toContain(`ssh-add ${key}`);
      expect(await problem({ passphrase: 'wrong' })).toMatchObject({ reason: 'NET_SSH_AUTH' });
      expect(await problem({ agentSocket: join(folder.path, 'none') })).toMatchObject({ reason: 'NET_SSH_AUTH' });
      expect(login.commands).toEqual([]);
    });

    it('logs in with its passphrase', async () => {
      expect(await problem({ passphrase })).not.toMatchObject({ reason: 'NET_SSH_AUTH' });
      expect(login.commands[0]).toMatch(/ id -u$/);
    });

    it('logs in by an agent, which is asked for this key only', async () => {
      const agentSocket = join(folder.path, 'agent');
      {
        await using other = await startFakeAgent(agentSocket, [stranger]);
        expect(await problem({ agentSocket }), 'it has another key').toMatchObject({ reason: 'NET_SSH_AUTH' });
        expect(other.asked).toEqual([]);
      }
      await using agent = await startFakeAgent(agentSocket, [stranger, parsed]);
      expect(await problem({ agentSocket })).not.toMatchObject({ reason: 'NET_SSH_AUTH' });
      expect(agent.asked).toEqual([parsed]);
      expect(login.commands[0]).toMatch(/ id -u$/);
    });
  });

  it('gives up a host that says nothing', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const options = { ...target(), port, hostKey: keyOf(hostKeys.publicKey) };
    const { problems } = await createDriver({ loginMs: 300 }).check(signal, options);
    expect(problems[0]).toMatchObject({
      reason: 'NET_UNREACHABLE',
      message: expect.stringContaining('in time') as string,
    });
    silent.close();
  });

  it('names sudo that asks for a password, and uses one that does not', async () => {
    const hostKey = keyOf(hostKeys.publicKey);
    answer = { ...answer, id: 'echo 1000', sudo: 'echo "sudo: a password is required" >&2; exit 1' };
    expect(await check({ hostKey })).toBe('DRV_SUDO');
    answer = { ...answer, sudo: 'true' };
    expect(await check({ hostKey })).toBe('DRV_HOST_SYSTEMD');
    expect(server.commands.at(-1)).toMatch(/^exec sudo -n -- env PATH=\S+ MK_CI_CALL=[0-9a-f]+ sh$/);
  });
});

describe('ports of a host', () => {
  it('are reached when somebody listens or refuses, and named when there is no way', async () => {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    await mustReach({ host: '127.0.0.1' }, [port], signal);
    listener.close();
    await once(listener, 'close');
    await mustReach({ host: '127.0.0.1' }, [port], signal);
    // No host has this name.
    const error = await mustReach({ host: 'host.invalid' }, [6443], signal, 300).catch((thrown: unknown) => thrown);
    expect(isMkCiError(error, 'NET_UNREACHABLE')).toBe(true);
    expect(String(error)).toContain('port 6443 of host.invalid');
    const stop = AbortSignal.abort(new Error('enough'));
    await expect(mustReach({ host: '127.0.0.1' }, [port], stop)).rejects.toThrow('enough');
  });
});
