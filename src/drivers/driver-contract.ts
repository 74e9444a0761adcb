import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { isMkCiError } from '../errors.js';
import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import type { Driver, MachineOperations, MachineSpec } from './driver.js';

export interface DriverContractSettings {
  /** A new driver over the same things as the one before. */
  readonly create: () => Driver | Promise<Driver>;
  /** What a machine of this driver needs beyond name and labels, such as an image. */
  readonly machine?: Partial<MachineSpec>;
  /** A command that prints `hello` on a machine. @default echo hello */
  readonly hello?: readonly [string, ...string[]];
  /** Limit of one test. @default 20000 */
  readonly timeoutMs?: number;
}

/** The rules of `driver.ts` as tests. What a driver does not offer is not asked of it. */
export function describeDriverContract(name: string, settings: DriverContractSettings): void {
  const { timeoutMs = 20_000, hello = ['echo', 'hello'] } = settings;
  const { signal } = new AbortController();

  describe(`driver contract: ${name}`, { timeout: timeoutMs }, () => {
    let driver: Driver;

    beforeEach(async () => {
      driver = await settings.create();
    });

    it('describes itself without contradiction', () => {
      const { info } = driver;
      expect(info.name).toMatch(/^[a-z0-9]+$/);
      expect(info.summary).not.toBe('');
      expect(info.platforms.length).toBeGreaterThan(0);
      expect(info.architectures.length).toBeGreaterThan(0);
      expect(driver.machines === undefined).toBe(info.machines === 'none');
      expect(info.maxMachines > 0).toBe(info.machines !== 'none');
      if (info.bootstrap !== 'kubeadm') expect(info.containerRuntimes).toEqual([]);
    });

    it('says what stands in the way, with a remedy for each', async () => {
      const { usable, problems } = await driver.check(signal, settings.machine?.options);
      if (!usable) expect(problems.length).toBeGreaterThan(0);
      for (const { reason, message, fix } of problems) {
        expect(reason).toMatch(/^[A-Z][A-Z0-9_]+$/);
        expect(message).not.toBe('');
        expect(fix).toMatch(/^[A-Z].*\.$/);
      }
    });

    it('does not begin when it was told to stop', async () => {
      const stopped = AbortSignal.abort(new Error('stopped'));
      await expect(driver.check(stopped)).rejects.toThrow('stopped');
      if (driver.machines === undefined) return;
      const { machines } = driver;
      await expect(machines.create(specOf('aborted'), stopped)).rejects.toThrow();
      expect(await machines.list({ cluster: 'contract' }, signal)).toEqual([]);
    });

    describe('machines', () => {
      let temporary: TemporaryFolder;
      let machines: MachineOperations;

      beforeEach(async ({ skip }) => {
        const { usable } = await driver.check(signal, settings.machine?.options);
        if (driver.machines === undefined || !usable) skip();
        else machines = driver.machines;
        temporary = await createTemporaryFolder();
      });
      afterEach(async () => {
        for (const machine of await machines.list({ cluster: 'contract' }, signal)) {
          await machines.remove(machine.name, signal);
        }
        await temporary[Symbol.asyncDispose]();
      });

      it('run commands once they are made, and are found by their labels until they are removed', async () => {
        const machine = await machines.create(specOf('one'), signal);
        expect((await machine.exec(hello)).stdout.trim()).toBe('hello');
        expect(await machines.list({ cluster: 'contract' }, signal)).toEqual([
          { name: 'contract-one', state: 'running', labels: specOf('one').labels },
        ]);
        expect(await machines.list({ cluster: 'contract', run: 'another' }, signal)).toEqual([]);
        await machines.remove('contract-one', signal);
        await machines.remove('contract-one', signal);
        expect(await machines.list({ cluster: 'contract' }, signal)).toEqual([]);
      });

      it('are made once, however often they are asked for, and not changed', async () => {
        await machines.create(specOf('same'), signal);
        await machines.create(specOf('same'), signal);
        expect(await machines.list({ cluster: 'contract' }, signal)).toHaveLength(1);
        const error = await machines
          .create({ ...specOf('same'), labels: { cluster: 'contract', run: 'another' } }, signal)
          .catch((thrown: unknown) => thrown);
        expect(isMkCiError(error, 'DRV_MACHINE_EXISTS')).toBe(true);
      });

      it('go through their states, each step twice', async () => {
        await machines.create(specOf('states'), signal);
        for (const [step, state] of [
          ['start', 'running'],
          ['pause', 'paused'],
          ['unpause', 'running'],
          ['stop', 'stopped'],
          ['start', 'running'],
        ] as const) {
          await machines[step]('contract-states', signal);
          await machines[step]('contract-states', signal);
          expect(await machines.list({ cluster: 'contract' }, signal)).toMatchObject([{ state }]);
        }
      });

      it('take and give files', async () => {
        const machine = await machines.create(specOf('files'), signal);
        const from = join(temporary.path, 'from');
        const to = join(temporary.path, 'to');
        await mkdir(temporary.path, { recursive: true });
        await writeFile(from, 'content\0');
        await machine.copyTo(from, '/tmp/mk-ci/contract/file');
        await machine.copyFrom('/tmp/mk-ci/contract/file', to);
        expect(await readFile(to, 'utf8')).toBe('content\0');
      });

      it('are named when they are not there', async () => {
        const error = await machines.attach('contract-nobody', signal).catch((thrown: unknown) => thrown);
        expect(isMkCiError(error, 'DRV_MACHINE_NOT_FOUND')).toBe(true);
      });

      it('can be made at the same time', async ({ skip }) => {
        if (driver.info.machines === 'given') return skip();
        await Promise.all(['a', 'b', 'c'].map((id) => machines.create(specOf(id), signal)));
        expect(await machines.list({ cluster: 'contract' }, signal)).toHaveLength(3);
      });

      it('start again after another one of their network is gone', async ({ skip }) => {
        if (driver.info.machines === 'given' || driver.info.maxMachines < 2) return skip();
        await machines.create({ ...specOf('a'), network: 'contract' }, signal);
        const second = await machines
          .create({ ...specOf('b'), network: 'contract' }, signal)
          .catch((error: unknown) => error);
        if (isMkCiError(second, 'DRV_UNSUPPORTED')) return skip(second.message);
        await machines.stop('contract-a', signal);
        await machines.remove('contract-b', signal);
        const machine = await machines.start('contract-a', signal);
        expect((await machine.exec(hello)).stdout.trim()).toBe('hello');
      });

      it('are one at a time where the host is given', async ({ skip }) => {
        if (driver.info.machines !== 'given') return skip();
        const made = await Promise.allSettled(['a', 'b'].map((id) => machines.create(specOf(id), signal)));
        const refused = made.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
        expect(refused).toHaveLength(1);
        expect(isMkCiError(refused[0], 'DRV_HOST_IN_USE')).toBe(true);
        expect(await machines.list({ cluster: 'contract' }, signal)).toHaveLength(1);
      });

      it('come back from snapshots, where there are any', async ({ skip }) => {
        const { snapshots } = driver;
        if (snapshots === undefined) return skip();
        await machines.create(specOf('kept'), signal);
        await snapshots.save('contract-kept', 'first', signal);
        expect(await snapshots.list('contract-kept', signal)).toEqual(['first']);
        const machine = await snapshots.restore('contract-kept', 'first', signal);
        expect((await machine.exec(hello)).stdout.trim()).toBe('hello');
        await snapshots.delete('contract-kept', 'first', signal);
        expect(await snapshots.list('contract-kept', signal)).toEqual([]);
      });
    });

    function specOf(id: string): MachineSpec {
      return { ...settings.machine, name: `contract-${id}`, labels: { cluster: 'contract', run: 'contract' } };
    }
  });
}
