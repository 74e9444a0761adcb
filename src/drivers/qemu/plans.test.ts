import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { exec, type Exec, type ExecResult } from '../../exec.js';
import { createTemporaryFolder } from '../../files.js';
import {
  candidatesFor,
  chooseAccelerator,
  explainProbe,
  probeAccelerator,
  probeArguments,
  probeGuest,
} from './accelerators.js';
import { machineArguments, type MachinePlan } from './arguments.js';

const { signal } = new AbortController();
const plan: MachinePlan = {
  name: 'c1-control-plane',
  architecture: 'amd64',
  accelerator: 'kvm',
  cpus: 2,
  memoryMiB: 4096,
  memory: { kind: 'own' },
  boot: { kind: 'kernel', kernel: '/i/vmlinuz', initrd: '/i/initrd', append: 'root=/dev/vda console=ttyS0' },
  disk: '/m/disk.qcow2',
  seed: '/m/seed.iso',
  qmpSocket: '/m/qmp.sock',
  pidFile: '/m/qemu.pid',
  serialLog: '/m/serial.log',
  forwardedPorts: [22, 6443],
};
const text = (change: Partial<MachinePlan> = {}): string => machineArguments({ ...plan, ...change }).join(' ');

describe('command lines', () => {
  it('give a machine its disk, its seed, its monitor and ports of the loopback only', () => {
    expect(text()).toMatch(/^qemu-system-x86_64 /);
    expect(text()).toContain('-machine q35,memory-backend=ram -accel kvm -cpu host -smp 2 -m 4096');
    expect(text()).toContain('-drive file=/m/disk.qcow2,if=virtio,format=qcow2,cache=unsafe,discard=unmap');
    expect(text()).toContain('-drive file=/m/seed.iso,if=virtio,format=raw,readonly=on');
    expect(text()).toContain('-netdev user,id=net0,hostfwd=tcp:127.0.0.1:0-:22,hostfwd=tcp:127.0.0.1:0-:6443');
    expect(text()).toContain('-kernel /i/vmlinuz -initrd /i/initrd -append root=/dev/vda console=ttyS0');
    expect(text()).not.toContain('-loadvm');
    expect(text({ snapshot: 'ready' })).toMatch(/ -loadvm ready$/);
  });

  it('translate on many threads without an accelerator', () => {
    expect(text({ accelerator: 'tcg' })).toContain('-accel tcg,thread=multi,tb-size=1024 -cpu max,erms=off,fsrm=off,');
    expect(text({ accelerator: 'kvm' })).toContain(' -cpu host -smp');
  });

  it('know the machine of arm64', () => {
    const arm = { architecture: 'arm64' } as const;
    expect(text(arm)).toMatch(
      /^qemu-system-aarch64 .* -machine virt,gic-version=host,memory-backend=ram -accel kvm -cpu host /,
    );
    expect(text({ ...arm, accelerator: 'hvf' })).toContain(
      '-machine virt,gic-version=3,memory-backend=ram -accel hvf -cpu host',
    );
    expect(text({ ...arm, accelerator: 'tcg' })).toContain('-cpu max,pauth-impdef=on');
    expect(text({ ...arm, boot: { kind: 'firmware', code: '/fw/code.fd' } })).toContain(
      '-drive file=/fw/code.fd,if=pflash,format=raw,readonly=on',
    );
  });

  it('name the memory the same wherever it lies, so that a saved state fits into each', () => {
    expect(text()).toContain('-object memory-backend-ram,id=ram,size=4096M ');
    expect(text({ memory: { kind: 'shared' } })).toContain('-object memory-backend-memfd,id=ram,size=4096M,share=on ');
    expect(text({ memory: { kind: 'view', file: '/s,1/ram' } })).toContain(
      '-object memory-backend-file,id=ram,size=4096M,share=off,mem-path=/s,,1/ram ',
    );
  });

  it('put a second card behind all other devices, so that a machine without it has them in the same places', () => {
    const mac = '52:54:00:01:02:03';
    const bridge = text({ clockSocket: '/m/clock', secondNetwork: { kind: 'bridge', bridge: 'br0', mac } });
    expect(bridge).toContain(
      'chardev=clock0 -netdev bridge,id=net1,br=br0 -device virtio-net-pci,netdev=net1,mac=52:54:00:01:02:03,romfile= -qmp',
    );
    expect(text({ secondNetwork: { kind: 'socket', path: '/s,1', mac } })).toContain(
      '-netdev stream,id=net1,server=off,addr.type=unix,addr.path=/s,,1 -device',
    );
  });

  it('keep commas in paths, which end an option otherwise', () => {
    expect(text({ disk: '/a,b/disk.qcow2' })).toContain('file=/a,,b/disk.qcow2,if=virtio');
  });
});

describe('the guest of the probe', () => {
  it('is a boot sector on a floppy disk, and a kernel of four instructions', () => {
    const { image, exitCode } = probeGuest('amd64');
    expect(image.length).toBe(1440 * 1024);
    expect([image[510], image[511]]).toEqual([0x55, 0xaa]);
    expect(exitCode).toBe(33);
    expect([...probeGuest('arm64').image.slice(0, 4)]).toEqual([0x00, 0x01, 0x80, 0x52]);
    expect(probeGuest('arm64').image.length).toBe(16);
    expect(probeArguments('qemu-system-aarch64', 'arm64', 'kvm', '/i').join(' ')).toContain('-machine virt -cpu host');
  });

  it('ends QEMU as it should under translation, where there is a QEMU', { timeout: 120_000 }, async ({ skip }) => {
    const program = 'qemu-system-x86_64';
    const probe = await probeAccelerator('tcg', { exec, program, architecture: 'amd64', signal }).catch(
      () => undefined,
    );
    if (probe === undefined) return skip();
    expect(probe).toEqual({ accelerator: 'tcg', works: true });
    await using folder = await createTemporaryFolder();
    const { image, exitCode } = probeGuest('amd64');
    const path = join(folder.path, 'guest.img');
    await writeFile(path, image);
    const result = await exec(probeArguments(program, 'amd64', 'tcg', path), {
      allowFailure: true,
      timeoutMs: 100_000,
    });
    expect(result.exitCode).toBe(exitCode);
  });
});

describe('the choice of an accelerator', () => {
  const ended =
    (result: Partial<ExecResult>): Exec =>
    async (argv) => ({
      argv,
      stdout: '',
      stderr: '',
      exitCode: undefined,
      signal: undefined,
      timedOut: false,
      aborted: false,
      leftChildren: false,
      durationMs: 1,
      ...result,
    });
  const probe = async (result: Partial<ExecResult>) =>
    await probeAccelerator('kvm', {
      exec: ended(result),
      program: 'qemu-system-x86_64',
      architecture: 'amd64',
      signal,
    });

  it('takes only what an ordinary guest has run on', async () => {
    expect(await probe({ exitCode: 33 })).toEqual({ accelerator: 'kvm', works: true });
    // A guest that never ran may end QEMU well all the same.
    expect(await probe({ exitCode: 0 })).toMatchObject({ works: false, reason: 'QEMU ended with exit code 0' });
  });

  it('says why another one is not used', async () => {
    // Recorded from QEMU 7.2.22 on 2026-11-21: a host whose /dev/kvm opens while guests hang, and one without the device.
    const hangs = await probe({
      timedOut: true,
      signal: 'SIGTERM',
      stderr:
        "qemu-system-x86_64: warning: host doesn't support requested feature: CPUID.01H:ECX.pni [bit 0]\nqemu-system-x86_64: terminating on signal 15 from pid 16887 (timeout)\n",
    });
    expect(hangs.reason).toBe('KVM opens, but an ordinary guest hangs on it');
    const missing = {
      ...{ timedOut: false, exitCode: 1, signal: undefined },
      stderr:
        'Could not access KVM kernel module: No such file or directory\nqemu-system-x86_64: -accel kvm: failed to initialize kvm: No such file or directory\n',
    };
    expect(explainProbe('kvm', missing)).toBe('Could not access KVM kernel module: No such file or directory');
    const { accelerator, problems } = chooseAccelerator([hangs, { accelerator: 'tcg', works: true }]);
    expect(accelerator).toBe('tcg');
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ reason: 'DRV_QEMU_KVM' });
    expect(problems[0]?.message).toContain('guests are translated');
  });

  it('has nothing to say when the best one works, and no answer when none does', () => {
    expect(
      chooseAccelerator([
        { accelerator: 'kvm', works: true },
        { accelerator: 'tcg', works: true },
      ]),
    ).toEqual({
      accelerator: 'kvm',
      problems: [],
    });
    expect(chooseAccelerator([{ accelerator: 'tcg', works: false }])).toMatchObject({
      accelerator: undefined,
      problems: [{ reason: 'DRV_QEMU_TCG' }],
    });
  });

  it('tries what the host can have', () => {
    expect(candidatesFor('linux', 'amd64', 'amd64')).toEqual(['kvm', 'tcg']);
    expect(candidatesFor('darwin', 'arm64', 'arm64')).toEqual(['hvf', 'tcg']);
    expect(candidatesFor('linux', 'amd64', 'arm64')).toEqual(['tcg']);
    expect(candidatesFor('win32', 'amd64', 'amd64')).toEqual(['tcg']);
  });
});
