import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { NODE_FOOTPRINT } from '../../cluster/host-kit/footprint.js';
import { isMkCiError } from '../../errors.js';
import type { ExecResult } from '../../exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { describeDriverContract } from '../driver-contract.js';
import type { MachineSpec } from '../driver.js';
import { parseClaim, type Claim } from './claim.js';
import { HOST_FOLDER, KIT_FILE, KIT_IMAGES, footprintSchema, kitSchema, pathsOf, readKit } from './footprint.js';
import { createGivenMachines, type GivenHost } from './given-machines.js';
import { judgeHost, parseFacts, renderFactsScript } from './host-facts.js';
import {
  MACHINE_VARIABLE,
  TAKEN,
  renderClaim,
  renderInstall,
  renderRestore,
  renderSetAside,
  renderStop,
} from './render-claim.js';

const { signal } = new AbortController();
const kit = kitSchema.parse({
  format: 'mk-ci-host-kit/1',
  key: '0123456789abcdef',
  arch: 'amd64',
  payloadBytes: 1,
  links: { '/usr/local/bin/kubeadm': 'bin/kubeadm' },
  copies: { '/opt/cni/bin': 'cni' },
  footprint: NODE_FOOTPRINT,
});
const claim: Claim = {
  version: 1,
  name: 'demo-control-plane',
  labels: { cluster: 'demo' },
  specDigest: 'x',
  state: 'preparing',
  bootId: 'b',
  address: '192.0.2.7',
  kitKey: kit.key,
  createdAt: '2026-11-22T00:00:00.000Z',
  footprint: kit.footprint,
  paths: pathsOf(kit),
};

describe('the footprint', () => {
  it('of a node is one that can be carried out', () => {
    expect(footprintSchema.parse(NODE_FOOTPRINT)).toEqual(NODE_FOOTPRINT);
  });

  it.each(['relative', '/', '/a b', '/a/../b', '/a;rm', '/a/$(x)', '/a/'])('has no path %j', (path) => {
    expect(footprintSchema.safeParse({ ...NODE_FOOTPRINT, paths: [path] }).success).toBe(false);
  });

  it('names each path once, and none that lies in another', () => {
    const paths = pathsOf(kit);
    expect(paths).toContain('/usr/local/bin/kubeadm');
    expect(paths).toContain('/opt/cni');
    expect(paths).not.toContain('/opt/cni/bin');
    for (const path of paths) expect(paths.filter((other) => other.startsWith(`${path}/`))).toEqual([]);
  });
});

describe('scripts', () => {
  const scripts = {
    facts: renderFactsScript(NODE_FOOTPRINT),
    claim: renderClaim(claim),
    aside: renderSetAside(claim),
    install: renderInstall(kit),
    stop: renderStop(claim),
    restore: renderRestore(claim),
  };

  it.each(Object.entries(scripts))('%s can be read by a plain shell', (_name, script) => {
    const { status, stderr } = spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  describe('on files', () => {
    let folder: TemporaryFolder;
    beforeEach(async () => {
      folder = await createTemporaryFolder();
    });
    afterEach(async () => {
      await folder[Symbol.asyncDispose]();
    });

    /** Runs a script with the paths of a host moved below a folder. */
    const run = (script: string): { status: number | null; stdout: string } => {
      const moved = script
        .replaceAll(HOST_FOLDER, join(folder.path, 'home'))
        .replaceAll('/etc/x', `${folder.path}/x`)
        .replaceAll('/sys/fs/cgroup', `${folder.path}/cgroup`);
      const { status, stdout } = spawnSync('sh', [], { input: moved, encoding: 'utf8' });
      return { status, stdout };
    };
    it('end what was started for the machine by one who was killed, and nothing else', async () => {
      const name = `given-test-${process.pid}`;
      const options = (value: string) =>
        ({ stdio: 'ignore', env: { ...process.env, [MACHINE_VARIABLE]: value } }) as const;
      const other = spawn('sleep', ['600'], options(`${name}-other`));
      const otherEnds = once(other, 'exit');
      const ours = [
        spawn('sleep', ['600'], options(name)),
        spawn('sh', ['-c', 'sleep 600; true', 'sh', join(folder.path, 'home', 'payload.mk-ci')], { stdio: 'ignore' }),
      ];
      const ends = ours.map(async (child): Promise<unknown> => await once(child, 'exit'));
      const footprint = { ...small.footprint, cgroups: [] };
      expect(run(renderStop({ name, footprint }).replace(/^.*systemctl .*$/gm, '')).status).toBe(0);
      for (const end of ends) expect(await end).toEqual([null, 'SIGKILL']);
      expect(other.signalCode).toBe(null);
      other.kill();
      await otherEnds;
    });

    it('end no group of their own for a process of a cgroup that can not be seen from here', async () => {
      const group = join(folder.path, 'cgroup', 'pods', 'theirs');
      await mkdir(group, { recursive: true });
      await writeFile(join(group, 'cgroup.procs'), '0\n');
      const script = renderStop({ name: 'given-test-none', footprint: small.footprint })
        .replace(/^.*systemctl .*$/gm, '')
        .replaceAll('/sys/fs/cgroup', join(folder.path, 'cgroup'))
        .replaceAll(HOST_FOLDER, join(folder.path, 'home'));
      // In a session of its own: what goes wrong ends that and not the tests.
      const { status, stdout } = spawnSync('setsid', ['--wait', 'sh'], {
        input: `${script}echo on\n`,
        encoding: 'utf8',
      });
      expect({ status, stdout }).toEqual({ status: 0, stdout: 'on\n' });
    });

    const nothing = {
      ...NODE_FOOTPRINT,
      additions: [],
      emptyFolders: ['/etc/x/empty', '/etc/x/filled'],
      lines: [],
      units: ['mk-ci-test-absent.service'],
      processes: [],
    };
    const small: Claim = {
      ...claim,
      paths: ['/etc/x/kept', '/etc/x/new/deep', '/etc/x/taken'],
      footprint: {
        ...nothing,
        ...{ mounts: [], interfaces: ['mk-ci-none'], addresses: [], nftTables: [], sysctls: [] },
        ...{
          cgroups: ['pods', 'pods.slice'],
          rules: ['mk-ci-no-such-rule'],
          lines: [{ path: '/etc/x/hosts', marker: '# mk-ci' }],
        },
      },
    };

    it('put back what was there, remove what was not, and leave what others wrote', async () => {
      const at = (name: string): string => join(folder.path, 'x', name);
      await mkdir(at('kept'), { recursive: true });
      await writeFile(at('kept/a'), 'a', { mode: 0o640 });
      await writeFile(at('taken'), 'original');
      await writeFile(at('hosts'), '127.0.0.1 localhost');
      for (const group of ['cpu/pods/theirs', 'cpu/else'])
        await mkdir(join(folder.path, 'cgroup', group), { recursive: true });
      expect(run(renderClaim(small)).status).toBe(0);
      expect(run(renderClaim(small)).status).toBe(TAKEN);
      expect(run(renderSetAside(small)).status).toBe(0);
      expect(run(renderSetAside(small)).status).toBe(0);
      await mkdir(at('kept'));
      await writeFile(at('kept/ours'), '');
      await mkdir(at('new/deep'), { recursive: true });
      for (const group of ['cpu/pods/ours/deep', 'memory/pods.slice/ours']) {
        await mkdir(join(folder.path, 'cgroup', group), { recursive: true });
      }
      await writeFile(at('new/deep/ours'), '');
      for (const name of ['empty', 'filled']) await mkdir(at(name));
      await writeFile(at('filled/theirs'), '');
      await writeFile(at('taken'), 'ours');
      await writeFile(at('hosts'), '127.0.0.1 localhost\n192.0.2.7 node # mk-ci\n192.0.2.8 other\n');
      await writeFile(at('somebody'), 'else');
      const restore = renderRestore(small)
        .replace(/^systemctl .*$/gm, '')
        .replace(/\$f-(save|restore)/g, 'true');
      expect(run(restore)).toEqual({ status: 0, stdout: '' });
      expect(await readFile(at('kept/a'), 'utf8')).toBe('a');
      expect(await readFile(at('taken'), 'utf8')).toBe('original');
      expect(await readFile(at('hosts'), 'utf8')).toBe('127.0.0.1 localhost\n192.0.2.8 other\n');
      const left = spawnSync('find', [folder.path, '-mindepth', '1', '-printf', '%P %m\n'], {
        encoding: 'utf8',
      }).stdout;
      const groups = ['', '/cpu', '/cpu/else', '/cpu/pods', '/cpu/pods/theirs', '/memory'];
      expect(left.split('\n').sort()).toEqual(
        [
          ...groups.map((group) => `cgroup${group} 755`),
          '',
          'x 755',
          'x/filled 755',
          'x/filled/theirs 644',
          'x/hosts 644',
          'x/kept 755',
          'x/kept/a 640',
          'x/somebody 644',
          'x/taken 644',
        ].sort(),
      );
    });
  });
});

describe('facts of a host', () => {
  const good = [
    ...[
      'arch x86_64',
      'systemd yes',
      'cgroups cgroup2fs',
      'os Debian',
      'kernel 6.12',
      'boot id 1',
      'address 192.0.2.7',
    ],
    ...['free 9000000', 'memory 8000000 kB'],
  ];
  const judge = (...lines: string[]) => judgeHost(parseFacts([...good, ...lines].join('\n')), 'root@a:22', 'amd64');

  it('are good where nothing is missing', () => {
    expect(judge()).toMatchObject({ usable: true, problems: [] });
  });

  it.each([
    ['missing runc', 'DRV_HOST_TOOLS'],
    ['use kubelet.service runs', 'DRV_HOST_IN_USE'],
    ['use port 6443 is taken', 'DRV_HOST_IN_USE'],
  ])('%j stands in the way', (line, reason) => {
    expect(judge(line)).toMatchObject({ usable: false, problems: [{ reason }] });
  });

  it('stand in the way where the host has ways into subnets of the cluster, and limit it where it has swap', () => {
    const facts = parseFacts([...good, 'route 10.96.3.0/24', 'route 10.244.7.1', 'swap 2097152 kB'].join('\n'));
    const { usable, problems } = judgeHost(facts, 'a', 'amd64', ['10.244.0.0/16', '10.96.0.0/16']);
    expect(usable).toBe(false);
    expect(problems.map(({ reason }) => reason)).toEqual(['DRV_HOST_IN_USE', 'DRV_HOST_IN_USE', 'DRV_HOST_SWAP']);
    expect(problems[0]?.message).toContain('10.244.7.1/32, which overlaps with 10.244.0.0/16');
    expect(judgeHost(facts, 'a', 'amd64', ['10.128.0.0/16']).usable).toBe(true);
  });

  it('are asked of this host as a plain shell answers', () => {
    const { stdout } = spawnSync('sh', [], { input: renderFactsScript(NODE_FOOTPRINT), encoding: 'utf8' });
    for (const route of parseFacts(stdout).routes) expect(route).toMatch(/^[\d.]+\/\d+$/);
    expect(parseFacts(stdout).memoryMiB).toBeGreaterThan(0);
  });

  it('tell of another architecture, no systemd, and a full disk', () => {
    const facts = parseFacts('arch riscv64\ncgroups tmpfs\nfree 1024\n');
    expect(judgeHost(facts, 'a', 'amd64').problems.map(({ reason }) => reason)).toEqual([
      ...['DRV_HOST_ARCHITECTURE', 'DRV_HOST_SYSTEMD', 'HOST_DISK_FULL'],
    ]);
  });

  it('hold nothing that acts on a terminal, and no address that is none', () => {
    const facts = parseFacts(
      'os \u001b]0;owned\u0007Debian\u009b2J\naddress $(reboot)\nanyaddress 192.0.2.7\nuse x\r runs\n',
    );
    expect(facts).toMatchObject({ os: ']0;ownedDebian2J', address: '192.0.2.7', uses: ['x runs'] });
    const hostile = { ...claim, labels: { cluster: '\u001b[2J' } };
    expect(parseClaim(JSON.stringify(hostile))).toBeUndefined();
    expect(parseClaim(JSON.stringify({ ...claim, paths: ['/etc/$(reboot)'] }))).toBeUndefined();
  });

  it('hold the claim that lies there, or that one can not be read', () => {
    const line = (text: string): string => `claimed yes\nclaim ${Buffer.from(text).toString('base64')}`;
    expect(parseFacts(line(JSON.stringify(claim))).claim).toEqual(claim);
    expect(parseFacts(line('{'))).toMatchObject({ isClaimed: true, claim: undefined });
    expect(parseClaim('')).toBeUndefined();
  });
});

/** A host that remembers its claim and does what scripts would do to it. */
function createFakeHost(): GivenHost & { claim: string; fail: string | undefined; scripts: string[] } {
  const host = {
    where: 'root@fake:22',
    reachedAt: 'fake',
    claim: '',
    fail: undefined as string | undefined,
    scripts: [] as string[],
    exec: async (
      argv: readonly [string, ...string[]],
      { input = '', signal: stop }: { input?: string | Uint8Array; signal?: AbortSignal | undefined } = {},
    ): Promise<ExecResult> => {
      stop?.throwIfAborted();
      const script = String(input);
      host.scripts.push(script);
      const end = (exitCode: number, stdout = '', stderr = ''): ExecResult => ({
        argv,
        stdout,
        stderr,
        exitCode,
        signal: undefined,
        timedOut: false,
        aborted: false,
        leftChildren: false,
        durationMs: 1,
      });
      if (argv[0] === 'echo') return end(0, `${argv.slice(1).join(' ')}\n`);
      const written = /echo (\S+) \| base64 -d/.exec(script)?.[1] ?? '';
      if (script.includes('echo "arch')) {
        const claimed = host.claim === '' ? '' : `claimed yes\nclaim ${host.claim}\n`;
        return end(0, `arch x86_64\nsystemd yes\ncgroups tmpfs\nboot b\nfree 9000000\nmemory 9000000\n${claimed}`);
      }
      if (host.fail !== undefined && script.includes('aside()')) return end(1, '', host.fail);
      if (script.includes('manifest') && script.includes('note()')) {
        if (host.claim !== '') return end(TAKEN);
        host.claim = written;
      } else if (script.includes('restore()')) host.claim = '';
      else if (written !== '') host.claim = written;
      return end(0);
    },
    files: new Map<string, string>(),
    copyTo: async (from: string, to: string): Promise<void> => {
      host.files.set(to, await readFile(from, 'utf8').catch(() => ''));
    },
    copyFrom: async (from: string, to: string): Promise<void> => {
      await writeFile(to, host.files.get(from) ?? '');
    },
  };
  return host;
}

const folder = await createTemporaryFolder();
await mkdir(join(folder.path, 'payload'));
await writeFile(join(folder.path, KIT_FILE), JSON.stringify(kit));

const driverOver = (host: GivenHost, confirm: () => void = () => undefined) => {
  const names = new Set(['contract-one', 'contract-a', 'contract-b', 'contract-same', 'contract-states', 'x']);
  return createGivenMachines({
    driver: 'given',
    hosts: {
      names: async () => [...names],
      find: async () => host,
      note: async () => host,
      forget: async () => undefined,
    },
    now: () => new Date(0),
    confirm,
  });
};

describeDriverContract('given host', {
  create: () => {
    const machines = driverOver(createFakeHost());
    return {
      info: {
        name: 'given',
        summary: 'a host that is there',
        machines: 'given',
        bootstrap: 'kubeadm',
        maxMachines: 1,
        platforms: ['linux'],
        architectures: ['amd64'],
        containerRuntimes: ['containerd'],
        experimental: true,
      },
      check: async (stop) => {
        stop.throwIfAborted();
        return { usable: true, problems: [], facts: {} };
      },
      machines,
    };
  },
  machine: { image: folder.path },
});

describe('a given host', () => {
  const spec: MachineSpec = { name: 'x', labels: { cluster: 'x' }, image: folder.path };

  it('is put back, and its disk named, when it fills up while it is prepared', async () => {
    const host = createFakeHost();
    host.fail = 'cp: error writing: No space left on device';
    const error = await driverOver(host)
      .create(spec, signal)
      .catch((thrown: unknown) => thrown);
    expect(isMkCiError(error, 'HOST_DISK_FULL')).toBe(true);
    expect(host.claim).toBe('');
  });

  it('is not touched when nobody agrees', async () => {
    const host = createFakeHost();
    const refuse = (): never => {
      throw new Error('refused');
    };
    await expect(driverOver(host, refuse).create(spec, signal)).rejects.toThrow('refused');
    expect(host.scripts).toEqual([expect.stringContaining('echo "arch')]);
  });

  it('that has notes which can not be read is refused', async () => {
    const host = createFakeHost();
    host.claim = Buffer.from('broken').toString('base64');
    const error = await driverOver(host)
      .create(spec, signal)
      .catch((thrown: unknown) => thrown);
    expect(isMkCiError(error, 'DRV_HOST_IN_USE')).toBe(true);
  });

  it('is set up only from a kit', async () => {
    await expect(readKit('mk-ci-node:v1')).rejects.toThrow('holds nothing');
    expect(await KIT_IMAGES.identify('mk-ci-node:v1', signal)).toBeUndefined();
  });
});
