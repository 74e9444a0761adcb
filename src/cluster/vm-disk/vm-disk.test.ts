import { spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createTemporaryFolder } from '../../files.js';
import type { Exec } from '../../exec.js';
import { cpioArchive, type CpioEntry } from './cpio.js';
import { INITRAMFS_INIT, guestFiles } from './guest-files.js';
import { kernelKey, makeInitramfs, readKernel } from './kernel.js';
import { kernelArguments, vmDiskKey } from './store.js';

/** Reads an archive by the format, written apart from the writer. */
function readCpio(archive: Buffer): Map<string, { readonly mode: number; readonly content: Buffer }> {
  const found = new Map<string, { mode: number; content: Buffer }>();
  for (let at = 0; ;) {
    expect(archive.toString('latin1', at, at + 6)).toBe('070701');
    const field = (index: number): number =>
      Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = archive.toString('utf8', at + 110, at + 110 + nameSize - 1);
    const start = Math.ceil((at + 110 + nameSize) / 4) * 4;
    if (name === 'TRAILER!!!') return found;
    found.set(name, { mode, content: archive.subarray(start, start + size) });
    at = Math.ceil((start + size) / 4) * 4;
  }
}

describe('archives for the kernel', () => {
  const path = fc.stringMatching(/^[a-zä€]{1,20}(\/[a-z.]{1,9})?$/);
  const entry = fc.oneof(
    fc.record({
      kind: fc.constant('file' as const),
      path,
      content: fc.uint8Array({ maxLength: 40 }),
      mode: fc.constantFrom(0o755, 0o644),
    }),
    fc.record({ kind: fc.constant('folder' as const), path }),
    fc.record({ kind: fc.constant('link' as const), path, target: fc.stringMatching(/^[a-z/]{1,9}$/) }),
  );
  const entries = fc.uniqueArray(entry, { selector: (item: CpioEntry) => item.path, maxLength: 20 });

  it('give back what was put in, whatever the sizes', () => {
    fc.assert(
      fc.property(entries, (list) => {
        const found = readCpio(cpioArchive(list));
        expect([...found.keys()]).toEqual(list.map((item) => item.path));
        for (const item of list) {
          const read = found.get(item.path)!;
          if (item.kind === 'file') {
            expect(read.mode).toBe(0o100000 | item.mode);
            expect(read.content.equals(item.content)).toBe(true);
          } else if (item.kind === 'link') expect(read.content.toString()).toBe(item.target);
          else expect(read.mode).toBe(0o040755);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('refuse paths that the kernel would put elsewhere', () => {
    for (const bad of ['', '/etc', 'a/', 'a\0b'])
      expect(() => cpioArchive([{ kind: 'folder', path: bad }])).toThrow(RangeError);
    const twice: CpioEntry[] = [
      { kind: 'folder', path: 'a' },
      { kind: 'folder', path: 'a' },
    ];
    expect(() => cpioArchive(twice)).toThrow(RangeError);
  });
});

describe('the first root file system', () => {
  it('has busybox, the script and the modules that the disk needs, unpacked', async () => {
    await using folder = await createTemporaryFolder();
    const release = '6.12.1-cloud';
    const modules = join(folder.path, 'modules', release, 'kernel/drivers/block');
    await mkdir(modules, { recursive: true });
    await writeFile(join(folder.path, 'busybox'), 'the program');
    await writeFile(join(modules, 'virtio_blk.ko.xz'), 'packed');
    const kernel = (await readKernel(folder.path))!;
    expect(kernel.release).toBe(release);
    const unpack: Exec = async (argv) => {
      await writeFile(argv.at(-1)!, 'plain');
      const ended = {
        exitCode: 0,
        signal: undefined,
        timedOut: false,
        aborted: false,
        leftChildren: false,
        durationMs: 1,
      };
      return { ...ended, argv, stdout: '', stderr: '' };
    };
    const { signal } = new AbortController();
    const found = readCpio(gunzipSync(await makeInitramfs(kernel, unpack, folder.path, signal)));
    expect(found.get('bin/busybox')?.content.toString()).toBe('the program');
    expect(found.get('modules/0-virtio_blk.ko')?.content.toString()).toBe('plain');
    expect(found.get('init')?.mode).toBe(0o100755);
    expect(await readKernel(join(folder.path, 'nowhere'))).toBeUndefined();
  });

  it('is a script that a shell can read, as are those of the guest', () => {
    const scripts = guestFiles().flatMap((entry) =>
      entry.kind === 'file' && entry.mode === 0o755 && Buffer.isBuffer(entry.content) ? [entry.content.toString()] : [],
    );
    expect(scripts).toHaveLength(2);
    for (const script of [INITRAMFS_INIT, ...scripts]) {
      expect(spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' }).stderr).toBe('');
    }
  });
});

describe('the power button', () => {
  it('is found among the input devices', async () => {
    const script = guestFiles().flatMap((entry) =>
      entry.kind === 'file' && entry.path.endsWith('vm-power') && Buffer.isBuffer(entry.content)
        ? [entry.content.toString()]
        : [],
    )[0]!;
    // /proc/bus/input/devices in the form that the kernel prints it.
    const devices =
      'I: Bus=0019 Vendor=0000 Product=0001 Version=0000\nN: Name="Power Button"\nP: Phys=LNXPWRBN/button/input0\nH: Handlers=kbd event1 \nB: EV=3\n\n' +
      'I: Bus=0011 Vendor=0001 Product=0001 Version=ab41\nN: Name="AT Translated Set 2 keyboard"\nH: Handlers=sysrq kbd event0 leds \n\n';
    await using folder = await createTemporaryFolder();
    const file = join(folder.path, 'devices');
    await writeFile(file, devices);
    const line = script
      .split('\n')
      .find((text) => text.startsWith('device='))!
      .replace('/proc/bus/input/devices', file);
    expect(spawnSync('sh', ['-c', `${line}; echo "$device"`], { encoding: 'utf8' }).stdout).toBe('event1\n');
    expect(await readFile(file, 'utf8')).toBe(devices);
  });
});

describe('keys of disks', () => {
  it('change with the node image and the kernel', () => {
    const base = { nodeImageKey: 'a', kernelRelease: '6.12.1', arch: 'amd64' } as const;
    expect(vmDiskKey(base)).toMatch(/^[0-9a-f]{16}$/);
    expect(vmDiskKey(base)).toBe(vmDiskKey({ ...base }));
    expect(vmDiskKey({ ...base, kernelRelease: '6.12.2' })).not.toBe(vmDiskKey(base));
    expect(vmDiskKey({ ...base, nodeImageKey: 'b' })).not.toBe(vmDiskKey(base));
    expect(vmDiskKey({ ...base, arch: 'arm64' })).not.toBe(vmDiskKey(base));
    expect(kernelKey('deb x', 'amd64')).not.toBe(kernelKey('deb x', 'arm64'));
    expect(kernelArguments('arm64')).toContain('console=ttyAMA0');
    expect(kernelArguments('amd64')).toContain('root=/dev/vda rw console=ttyS0');
  });
});
