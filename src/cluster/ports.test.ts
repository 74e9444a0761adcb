import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { isMkCiError } from '../errors.js';
import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { identifySelf, type ProcessIdentity } from '../process.js';
import { choosePortRange, leasePorts, listPortLeases, parseEphemeralRange, replacePort } from './ports.js';

const DEAD: ProcessIdentity = { pid: process.pid, startedAt: '1@00000000' };

// Ranges of the tests' own, away from the one in which clusters of this host live.
describe('leasePorts', () => {
  let temporary: TemporaryFolder;
  const owner = identifySelf();
  const servers: Server[] = [];

  beforeEach(async () => {
    temporary = await createTemporaryFolder();
  });
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
    await temporary[Symbol.asyncDispose]();
  });

  const listenOn = async (port: number, host: string): Promise<void> => {
    const server = createServer();
    servers.push(server);
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen({ port, host }, resolve));
  };

  it('gives different ports and one file each, and takes the files away again', async () => {
    const leases = await leasePorts(5, { folder: temporary.path, owner });
    expect(new Set(leases.map((lease) => lease.port)).size).toBe(5);
    expect(readdirSync(temporary.path)).toHaveLength(5);
    await Promise.all(leases.map((lease) => lease.release()));
    await leases[0]!.release();
    expect(readdirSync(temporary.path)).toEqual([]);
  });

  it('does not give out a port that a living process holds', async () => {
    const range = { first: 12_000, last: 12_400 };
    const [first] = await leasePorts(1, { folder: temporary.path, owner, range, random: () => 0 });
    const [second] = await leasePorts(1, { folder: temporary.path, owner, range, random: () => 0 });
    expect(second!.port).toBeGreaterThan(first!.port);
  });

  it('takes over the lease of a dead owner, whose number now belongs to another process', async () => {
    const range = { first: 12_000, last: 12_400 };
    const [lease] = await leasePorts(1, { folder: temporary.path, owner: DEAD, range, random: () => 0 });
    const [again] = await leasePorts(1, { folder: temporary.path, owner, range, random: () => 0 });
    expect(again!.port).toBe(lease!.port);
    expect((await listPortLeases(temporary.path)).map((file) => file.owner)).toEqual([owner]);
  });

  it('passes over ports on which somebody listens, on loopback or on every address', async () => {
    const [free] = await leasePorts(1, { folder: temporary.path, owner });
    await free!.release();
    const range = { first: free!.port, last: free!.port };
    for (const host of ['127.0.0.1', '0.0.0.0']) {
      await listenOn(free!.port, host);
      await expect(leasePorts(1, { folder: temporary.path, owner, range })).rejects.toSatisfy((error) =>
        isMkCiError(error, 'HOST_NO_PORT'),
      );
      await new Promise((resolve) => servers.pop()!.close(resolve));
    }
    expect(readdirSync(temporary.path)).toEqual([]);
  });

  it('gives all or nothing', async () => {
    const range = { first: 12_500, last: 12_502 };
    await expect(leasePorts(4, { folder: temporary.path, owner, range })).rejects.toThrow(/4 wanted, 3 found|4 wanted/);
    expect(readdirSync(temporary.path)).toEqual([]);
  });

  it('prefers the ports asked for and never gives those to be avoided', async () => {
    const [first] = await leasePorts(1, { folder: temporary.path, owner });
    await first!.release();
    const [same] = await leasePorts(1, { folder: temporary.path, owner, prefer: [first!.port] });
    expect(same!.port).toBe(first!.port);
    await same!.release();
    const [other] = await leasePorts(1, {
      folder: temporary.path,
      owner,
      prefer: [first!.port],
      avoid: [first!.port],
    });
    expect(other!.port).not.toBe(first!.port);
  });

  it('replaces a port that was taken between lease and use', async () => {
    const [lease] = await leasePorts(1, { folder: temporary.path, owner });
    await listenOn(lease!.port, '127.0.0.1');
    const other = await replacePort(lease!, { folder: temporary.path, owner });
    expect(other.port).not.toBe(lease!.port);
    expect((await listPortLeases(temporary.path)).map((file) => file.port)).toEqual([other.port]);
  });

  it('hands a lease to another process, after which it lives and dies with that one', async () => {
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
    try {
      const childIdentity = { pid: child.pid!, startedAt: '' };
      const range = { first: 12_600, last: 12_900 };
      const [lease] = await leasePorts(1, { folder: temporary.path, owner, range, random: () => 0 });
      await lease!.transfer(childIdentity);
      expect((await listPortLeases(temporary.path)).map((file) => file.owner)).toEqual([childIdentity]);
      await lease!.release();
      expect(await listPortLeases(temporary.path)).toEqual([]);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('ignores files that are no leases', async () => {
    await writeFile(join(temporary.path, 'README'), '');
    await writeFile(join(temporary.path, '20000~x~y~z'), '');
    expect(await listPortLeases(temporary.path)).toEqual([]);
    expect(await listPortLeases(join(temporary.path, 'absent'))).toEqual([]);
  });
});

describe('choosePortRange', () => {
  it('stays clear of the ports of outgoing connections where there is room', () => {
    expect(choosePortRange(parseEphemeralRange('32768\t60999\n'))).toEqual({ first: 20_000, last: 29_999 });
    expect(choosePortRange(parseEphemeralRange('15000 61000'))).toEqual({ first: 20_000, last: 29_999 });
    expect(choosePortRange(parseEphemeralRange('20000 65535'))).toEqual({ first: 10_000, last: 19_999 });
    expect(choosePortRange(parseEphemeralRange('1024 50000'))).toEqual({ first: 55_000, last: 64_999 });
    expect(choosePortRange(parseEphemeralRange('1024 65535'))).toEqual({ first: 20_000, last: 29_999 });
    expect(parseEphemeralRange('garbage')).toBeUndefined();
  });
});
