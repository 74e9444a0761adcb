import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { isMkCiError } from '../../errors.js';
import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { describeDriverContract } from '../driver-contract.js';
import type { Driver } from '../driver.js';
import { createDriverRegistry } from '../registry.js';
import { VM_IMAGE_FILE, formatOwner, parseOwner } from '../vm/index.js';
import { installFakeTools, type FakeTool, type FakeTools } from '../vm/testing/fake-tools.js';
import { EXPERIMENTAL_DRIVERS, createExperimentalDriver } from './experimental-drivers.js';
import { literal } from './hyperv.js';
import { addressIn, parseDhcpdLeases, parseParallelsLeases } from './leases.js';
import { spawnAndLeave } from './process-hypervisor.js';
import { createFakeMachines, type FakeMachines } from './testing/fake-machines.js';
import { fakeMacProcesses } from './testing/fake-mac-processes.js';
import { fakePowerShell } from './testing/fake-powershell.js';
import { fakePrlctl } from './testing/fake-prlctl.js';
import { fakeVBoxManage } from './testing/fake-vboxmanage.js';
import { fakeVmware } from './testing/fake-vmrun.js';
import { parseVmState } from './vfkit.js';
import { parseForwards, parseMachineReadable, parseVmList } from './virtualbox.js';
import { parseRunning, parseVmx } from './vmware.js';

type Name = keyof typeof EXPERIMENTAL_DRIVERS;

const { signal } = new AbortController();
const NAMES = Object.keys(EXPERIMENTAL_DRIVERS) as Name[];
/** An image that each of them can start from. */
const IMAGES: Readonly<Record<Name, string>> = {
  hyperv: 'cloud.vhdx',
  vfkit: 'mk-ci-node:v1.36.3',
  virtualbox: 'cloud.img',
  hyperkit: 'mk-ci-node:v1.36.3',
  parallels: 'cloud.hdd',
  vmware: 'cloud.vmdk',
};

let folder: TemporaryFolder;
let sshPort = 0;
const rigs: Rig[] = [];

interface Rig extends AsyncDisposable {
  readonly tools: FakeTools;
  readonly machines: Readonly<Record<string, FakeMachines>>;
  create(name: Name, machines?: string): Driver;
}

async function createRig(id: string, asPrograms: boolean): Promise<Rig> {
  const root = join(folder.path, id);
  await mkdir(root);
  const leases = { parallels: join(root, 'leases-parallels'), mac: join(root, 'leases-mac') };
  const machines = {
    virtualbox: createFakeMachines(sshPort),
    hyperv: createFakeMachines(sshPort),
    vmware: createFakeMachines(sshPort),
    parallels: createFakeMachines(sshPort),
    mac: createFakeMachines(sshPort),
  };
  const fakes: Readonly<Record<string, FakeTool>> = {
    VBoxManage: fakeVBoxManage(machines.virtualbox),
    'powershell.exe': fakePowerShell(machines.hyperv),
    ...fakeVmware(machines.vmware),
    prlctl: fakePrlctl(machines.parallels, leases.parallels),
    ...fakeMacProcesses(machines.mac, leases.mac),
  };
  const tools = await installFakeTools(fakes, { asPrograms });
  const rig: Rig = {
    tools,
    machines,
    create: (name, own = name) =>
      createExperimentalDriver(name, {
        exec: tools.exec,
        machinesFolder: join(root, own),
        imagesFolder: join(folder.path, 'images'),
        platform: 'linux',
        architecture: 'x64',
        memoryBytes: 2 ** 34,
        pollMs: 10,
        sshPort,
        leasesFile: name === 'parallels' ? leases.parallels : leases.mac,
        spawnDetached: async ([program, ...args], options) =>
          await spawnAndLeave([tools.pathOf(program), ...args], options),
      }),
    [Symbol.asyncDispose]: async () => {
      for (const each of Object.values(machines)) await each[Symbol.asyncDispose]();
      await tools[Symbol.asyncDispose]();
    },
  };
  rigs.push(rig);
  return rig;
}

const imageOf = (name: Name): string => (IMAGES[name].includes(':') ? IMAGES[name] : join(folder.path, IMAGES[name]));

let shared: Rig;
beforeAll(async () => {
  folder = await createTemporaryFolder('mke-');
  // Guests have addresses of their own and one port, as real ones have.
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  sshPort = (server.address() as AddressInfo).port;
  await new Promise((resolve) => server.close(resolve));
  const image = join(folder.path, 'images', 'v1.36.3-amd64-aaaa');
  await mkdir(image, { recursive: true });
  await writeFile(join(image, 'disk.img'), 'disk');
  const facts = {
    ...{ format: 'mk-ci-vm-image/1', architecture: 'amd64', key: '0123456789abcdef', disk: 'disk.img', diskBytes: 4 },
    ...{ kernel: 'vmlinuz', initrd: 'initrd.img', append: 'root=/dev/vda console=ttyS0' },
  };
  await writeFile(join(image, VM_IMAGE_FILE), JSON.stringify(facts));
  for (const name of ['cloud.vhdx', 'cloud.img', 'cloud.vmdk']) await writeFile(join(folder.path, name), 'disk');
  await mkdir(join(folder.path, 'cloud.hdd'));
  shared = await createRig('shared', false);
});
afterAll(async () => {
  for (const rig of rigs) await rig[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

for (const name of NAMES) {
  describe(`of ${name}`, () => {
    describeDriverContract(`${name} (fake)`, {
      create: () => shared.create(name),
      machine: {
        get image() {
          return imageOf(name);
        },
      },
    });
  });
}

describe.each(NAMES)('driver %s', (name) => {
  const spec = () => ({ name: 'one', labels: { cluster: `it's "c"` }, image: imageOf(name), publishedPorts: [6443] });

  it('works with programs of PATH, with quotes in what it says of a machine', { timeout: 60_000 }, async () => {
    const driver = (await createRig(`programs-${name}`, true)).create(name);
    expect((await driver.check(signal)).facts['version']).toMatch(/^\d/);
    const machine = await driver.machines!.create(spec(), signal);
    expect((await machine.exec(['echo', 'up'])).stdout).toBe('up\n');
    expect(await machine.endpoint(6443)).toMatchObject({ host: expect.stringMatching(/^127\./) as string });
    expect(await driver.machines!.list({ cluster: `it's "c"` }, signal)).toMatchObject([
      { name: 'one', state: 'running' },
    ]);
    await driver.machines!.stop('one', signal);
    expect(await driver.machines!.list({}, signal)).toMatchObject([{ name: 'one', state: 'stopped' }]);
    await driver.machines!.remove('one', signal);
    expect(await driver.machines!.list({}, signal)).toEqual([]);
  });

  it('does not see machines of another mk-ci', async () => {
    const [mine, other] = [shared.create(name, `${name}-mine`), shared.create(name, `${name}-other`)];
    await mine.machines!.create({ ...spec(), name: 'mine' }, signal);
    expect(await other.machines!.list({}, signal)).toEqual([]);
    await other.machines!.remove('mine', signal);
    expect(await mine.machines!.list({}, signal)).toMatchObject([{ name: 'mine', state: 'running' }]);
    await mine.machines!.remove('mine', signal);
  });

  it('says what is missing, and has no machines then', async () => {
    const driver = createExperimentalDriver(name, {
      exec: async (argv, options) => await shared.tools.exec([`/nowhere/${argv[0]}`, ...argv.slice(1)], options),
      machinesFolder: join(folder.path, `none-${name}`),
      imagesFolder: folder.path,
    });
    const health = await driver.check(signal);
    expect(health).toMatchObject({ usable: false, problems: [{ reason: `DRV_${name.toUpperCase()}_NOT_FOUND` }] });
    expect(await driver.machines!.list({}, signal)).toEqual([]);
    await driver.machines!.remove('nobody', signal);
  });

  it('refuses an image that it can not start', async () => {
    const wrong = IMAGES[name].includes(':') ? join(folder.path, 'cloud.vmdk') : 'mk-ci-node:v1.36.3';
    const error = await shared
      .create(name)
      .machines!.create({ ...spec(), image: wrong }, signal)
      .catch((thrown: unknown) => thrown);
    expect(isMkCiError(error, 'DRV_UNSUPPORTED')).toBe(true);
  });
});

describe('drivers by operating system', () => {
  const on = (platform: NodeJS.Platform) => createDriverRegistry({ exec: shared.tools.exec, platform });
  const supported = (platform: NodeJS.Platform): string[] => {
    const registry = on(platform);
    return registry.names.filter((name) => registry.get(name).info.platforms.includes(platform));
  };

  it('are those of the table', () => {
    expect(supported('linux')).toEqual(expect.arrayContaining(['docker', 'kvm2', 'virtualbox', 'vmware']));
    expect(supported('darwin')).toEqual(
      expect.arrayContaining(['vfkit', 'hyperkit', 'parallels', 'virtualbox', 'vmware']),
    );
    expect(supported('win32')).toEqual(expect.arrayContaining(['hyperv', 'virtualbox', 'vmware']));
    expect(supported('win32')).not.toContain('kvm2');
  });

  it.each(['hyperv', 'vfkit', 'hyperkit', 'parallels'])(
    'are refused elsewhere, with those that there are: %s',
    async (name) => {
      const driver = on('linux').get(name);
      const health = await driver.check(signal);
      expect(health.problems).toMatchObject([{ reason: 'DRV_UNSUPPORTED' }]);
      expect(health.problems[0]?.fix).toContain('kvm2');
      const error = await driver.machines!.create({ name: 'x', labels: {} }, signal).catch((thrown: unknown) => thrown);
      expect(isMkCiError(error, 'DRV_UNSUPPORTED')).toBe(true);
      expect(isMkCiError(error) && error.advice).toContain('virtualbox');
      expect(await driver.machines!.list({}, signal)).toEqual([]);
    },
  );
});

describe('what programs say', () => {
  it('of VirtualBox', () => {
    expect(parseVmList('"a "b" c" {8a2b3f9e-0000-4000-8000-000000000001}\r\n"<inaccessible>" {x}\n')).toEqual([
      { name: 'a "b" c', id: '8a2b3f9e-0000-4000-8000-000000000001' },
    ]);
    const info = parseMachineReadable(
      'VMState="running"\nmemory=4096\n"SATA-0-0"="/m/a=b.vdi"\nForwarding(0)="p22,tcp,127.0.0.1,2222,,22"\n',
    );
    expect(info.get('SATA-0-0')).toBe('/m/a=b.vdi');
    expect(parseForwards(info)).toEqual([{ rule: 'p22', hostPort: 2222, guestPort: 22 }]);
  });

  it('of VMware', () => {
    expect(parseRunning('Total running VMs: 1\r\n/m/a b/machine.vmx\r\n')).toEqual(['/m/a b/machine.vmx']);
    expect(parseVmx('a.b = "x |22y|22"\n# no = "1"\n').get('a.b')).toBe('x "y"');
  });

  it('of vfkit', () => {
    const states = ['Running', 'Paused', 'Error', 'Starting'].map((one) => `{"state":"VirtualMachineState${one}"}`);
    expect([...states, ''].map(parseVmState)).toEqual(['running', 'paused', 'broken', 'running', 'running']);
  });

  it('of addresses', () => {
    const mac = `{\n\tname=one\n\tip_address=192.168.64.2\n\thw_address=1,6a:0:1:2:3:4\n\tlease=0x10\n}\n{\n\tname=one\n\tip_address=192.168.64.3\n\thw_address=ff,1:2:3:4:5:6\n\tlease=0x20\n}\n`;
    expect(addressIn(parseDhcpdLeases(mac), { mac: '6A:00:01:02:03:04' })).toBe('192.168.64.2');
    expect(addressIn(parseDhcpdLeases(mac), { name: 'one' })).toBe('192.168.64.3');
    expect(addressIn(parseDhcpdLeases(mac), { name: 'two' })).toBeUndefined();
    const parallels =
      '10.211.55.5="1418921112,1800,001c42593396,01001c42593396"\n10.211.55.6="1418921113,1800,001c42593396,x"\n';
    expect(addressIn(parseParallelsLeases(parallels), { mac: '00:1C:42:59:33:96' })).toBe('10.211.55.6');
  });

  it('never upsets who reads it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        for (const read of [parseVmList, parseMachineReadable, parseVmx, parseRunning, parseVmState, parseDhcpdLeases])
          read(text);
        expect(parseOwner(text)).toBeUndefined();
        expect(parseParallelsLeases(text)).toEqual([]);
      }),
    );
  });

  it('brings back whose a machine is, from a field that holds more', () => {
    fc.assert(
      // Names of labels are ours: `__proto__`, which no schema lets through, is none.
      fc.property(
        fc.string(),
        fc.dictionary(fc.stringMatching(/^[a-z][a-z-]{0,12}$/), fc.string()),
        (network, labels) => {
          const owner = { folder: '/m', network, labels };
          const text = formatOwner(owner);
          expect(text).toMatch(/^mk-ci [\w-]+$/);
          expect(parseOwner(`Value: ${text}\r\n`)).toEqual(owner);
        },
      ),
    );
  });

  it('has quotes that PowerShell reads as they are', () => {
    expect(literal("it's $x `n \u2019")).toBe("'it''s $x `n \u2019\u2019'");
  });
});
