/**
 * The drivers for given hosts, against a real sshd and systemd: the contract, refusals, and a host that is as it was before.
 * Needs docker that answers, as root (`scripts/with-dockerd.sh` gives one), and a node image in the cache or what is needed to make
 * one; else skipped with a word. The host is a container, so that nothing of this one changes. About four minutes.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { NODE_FOOTPRINT } from '../src/cluster/host-kit/footprint.js';
import { describeDriverContract } from '../src/drivers/driver-contract.js';
import type { Driver, MachineOperations } from '../src/drivers/driver.js';
import { HOST_FOLDER, KIT_FILE, kitSchema } from '../src/drivers/given/index.js';
import { createSshDriver } from '../src/drivers/ssh/index.js';
import { generateKeyPair } from '../src/drivers/ssh-connection/index.js';
import { ERROR_CATALOGUE, isMkCiError, type ErrorCode } from '../src/errors.js';
import { createTemporaryFolder } from '../src/files.js';
import { describeWithNodeImage, findNodeImage, makeHome } from './engines.js';
import { addSudo, copyProgram, makeTestHost, pictureOf } from './given-host.js';
import { mkCi } from './mk-ci.js';

/** On the host, outside of all that is compared. */
const PLACE = '/mk-ci-test';
const found = await findNodeImage('docker');
const { signal } = new AbortController();

describeWithNodeImage('given hosts', found, async (reference) => {
  const folder = await createTemporaryFolder('mk-ci-given-');
  const host = await makeTestHost('mk-ci-given', reference, folder.path);
  const hasSudo = await addSudo(host, folder.path);
  const before = await pictureOf(host);
  const image = await makeKit(join(folder.path, 'kit'));
  const options = { host: `root@${host.address}`, key: host.key, hostKey: host.hostKey };
  const createDriver = (): Driver =>
    createSshDriver({
      machinesFolder: join(folder.path, 'machines'),
      knownHostsFile: join(folder.path, 'known_hosts'),
      home: folder.path,
    });
  const machines = (): MachineOperations => {
    const { machines: operations } = createDriver();
    if (operations === undefined) throw new Error('the driver has machines');
    return operations;
  };

  afterAll(async () => {
    await host[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  describeDriverContract('ssh', { create: createDriver, machine: { image, options }, timeoutMs: 240_000 });

  describe('a given host', { timeout: 300_000 }, () => {
    it('is as it was after pods, rules, mounts, interfaces and units of a node were there', async () => {
      await host.machine.exec(['rm', '-rf', '/tmp/mk-ci']); // of the contract
      const machine = await machines().create({ name: 'given', labels: { cluster: 'given' }, image, options }, signal);
      expect(machine.internalAddress).toBe(host.address);
      await machine.exec(['sh', '-e'], { input: MESS, timeoutMs: 60_000 });
      await machines().remove('given', signal);
      const after = await pictureOf(host);
      for (const [what, lines] of Object.entries(after)) expect({ [what]: lines }).toEqual({ [what]: before[what] });
    });

    it('keeps the contract also as the host itself, with the driver none', async () => {
      await host.machine.exec(['rm', '-rf', '/tmp/mk-ci']);
      await copyProgram(host, { place: PLACE, folder: folder.path, hasTests: true });
      await host.machine.copyTo(image, `${PLACE}/kit`, signal);
      const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'integration/in-host/vitest.config.ts'];
      const { exitCode, stdout } = await host.machine.exec(
        ['env', `MK_CI_TEST_KIT=${PLACE}/kit`, `TMPDIR=${PLACE}/home`, 'NO_COLOR=1', `${PLACE}/node`, ...vitest],
        { cwd: PLACE, allowFailure: true, timeoutMs: 280_000 },
      );
      expect(exitCode, stdout).toBe(0);
      expect(stdout).toMatch(/Tests\s+9 passed/);
      await host.machine.exec(['rm', '-rf', '/tmp/mk-ci']);
      const after = await pictureOf(host);
      for (const [what, lines] of Object.entries(after)) expect({ [what]: lines }).toEqual({ [what]: before[what] });
    });

    it('is refused when something runs on the ports of a node, and not touched', async () => {
      await host.machine.exec([
        'systemd-run',
        '--quiet',
        '--unit=test-taken',
        'socat',
        'TCP-LISTEN:6443,fork',
        'STDOUT',
      ]);
      await host.machine.exec([
        'sh',
        '-c',
        'for i in $(seq 100); do grep -q ":192B .* 0A" /proc/net/tcp && exit; sleep 0.1; done',
      ]);
      try {
        const spec = { name: 'given', labels: { cluster: 'given' }, image, options };
        const error = await machines()
          .create(spec, signal)
          .catch((thrown: unknown) => thrown);
        expect(isMkCiError(error, 'DRV_HOST_IN_USE')).toBe(true);
        expect((await host.machine.exec(['test', '-e', HOST_FOLDER], { allowFailure: true })).exitCode).toBe(1);
      } finally {
        await host.machine.exec(['systemctl', 'stop', 'test-taken']);
      }
    });

    it('names a user who can not become root, and a key that is not accepted', async () => {
      const { problems } = await createDriver().check(signal, { ...options, host: `plain@${host.address}` });
      expect(problems[0]?.reason).toBe('DRV_SUDO');
      const other = await createDriver().check(signal, { ...options, host: `nobody@${host.address}` });
      expect(other.problems[0]?.reason).toBe('NET_SSH_AUTH');
    });

    it.skipIf(!hasSudo)('is used by a user who may become root, and left as it was', async () => {
      await host.machine.exec(['rm', '-rf', '/tmp/mk-ci']);
      const spec = { name: 'given', labels: { cluster: 'given' }, image };
      const admin = { ...options, host: `admin@${host.address}` };
      const machine = await machines().create({ ...spec, options: admin }, signal);
      expect((await machine.exec(['id', '-u'])).stdout).toBe('0\n');
      await machines().remove('given', signal);
      expect((await pictureOf(host))['files']).toEqual(before['files']);
    });

    it('is examined by doctor, which names what runs on its ports and in its subnets', async () => {
      const flags = ['--ssh-host', options.host, '--ssh-key', host.key, '--ssh-host-key', host.hostKey];
      const doctor = async (): Promise<string> => (await mkCi(['doctor', ...flags])).stdout;
      expect(await doctor()).toContain('ssh         works');
      const script = `systemd-run --quiet --unit=test-doctor socat TCP-LISTEN:10250,fork STDOUT; ip route add unreachable 10.96.5.0/24
        for i in $(seq 100); do grep -q ":280A .* 0A" /proc/net/tcp && exit; sleep 0.1; done`;
      await host.machine.exec(['sh', '-ec', script]);
      try {
        const said = await doctor();
        expect(said).toContain('port 10250 is taken');
        expect(said).toContain('10.96.5.0/24, which overlaps with 10.96.0.0/16');
      } finally {
        await host.machine.exec(['sh', '-c', 'systemctl stop test-doctor; ip route del unreachable 10.96.5.0/24']);
      }
      const refused = await mkCi(['doctor', '--ssh-host', '-oProxyCommand=x']);
      expect(refused.stderr).toContain('CFG_INVALID');
    });

    describe('on which no cluster can be started', () => {
      let env: NodeJS.ProcessEnv;
      beforeAll(async () => {
        env = { ...process.env, MK_CI_HOME: await makeHome(folder.path) };
      });
      /** Exit code and words of a start, which has to end by itself. */
      const start = async (...flags: string[]) => {
        const { exitCode, stderr, timedOut } = await mkCi(['cluster', 'start', 'never', '--driver', 'ssh', ...flags], {
          env,
          timeoutMs: 60_000,
        });
        expect(timedOut, stderr).toBe(false);
        expect((await mkCi(['cluster', 'list'], { env })).stdout).toContain('no clusters');
        expect((await host.machine.exec(['test', '-e', HOST_FOLDER], { allowFailure: true })).exitCode).toBe(1);
        return { exitCode, stderr };
      };
      const flagsOf = (user: string, port = 22): string[] => [
        ...['--ssh-host', `${user}@${host.address}:${port}`, '--ssh-key', host.key],
      ];
      const expectNamed = ({ exitCode, stderr }: Awaited<ReturnType<typeof start>>, code: ErrorCode): void => {
        const { exitCode: expected, advice } = ERROR_CATALOGUE[code];
        expect({ exitCode, stderr }).toEqual({ exitCode: expected, stderr: expect.stringContaining(code) as string });
        expect(stderr).toContain(advice);
      };

      it('says that its port is closed', async () => {
        expectNamed(await start(...flagsOf('root', 23), '--ssh-host-key', host.hostKey), 'NET_UNREACHABLE');
      });

      it('says that it does not take the key', async () => {
        const other = await generateKeyPair('stranger');
        const key = join(folder.path, 'stranger.key');
        await writeFile(key, other.privateKey, { mode: 0o600 });
        const flags = ['--ssh-host', `root@${host.address}`, '--ssh-key', key, '--ssh-host-key', host.hostKey];
        expectNamed(await start(...flags), 'NET_SSH_AUTH');
      });

      it('says that it is not known, and that its key is another one than it was', async () => {
        const sshd = async (keyFile: string): Promise<void> => {
          const script = `systemctl stop test-moved 2>/dev/null; rm -f ${keyFile}; ssh-keygen -q -t ed25519 -N '' -f ${keyFile}
            systemd-run --quiet --unit=test-moved /usr/sbin/sshd -D -e -p 2022 -h ${keyFile} -o UsePAM=no -o StrictModes=no -o PidFile=none
            for i in $(seq 100); do grep -q ":07E6 .* 0A" /proc/net/tcp && exit; sleep 0.1; done; exit 1`;
          await host.machine.exec(['sh'], { input: script, timeoutMs: 30_000 });
        };
        try {
          await sshd('/tmp/first');
          const unknown = await start(...flagsOf('plain', 2022));
          expect(unknown).toMatchObject({ exitCode: ERROR_CATALOGUE.NET_SSH_HOST_UNKNOWN.exitCode });
          expect(unknown.stderr).toContain('SHA256:');
          // It gets as far as asking who it is there, and the key is noted.
          const known = await start(...flagsOf('plain', 2022), '--ssh-host-key', 'accept-new');
          expect(known).toMatchObject({ exitCode: ERROR_CATALOGUE.DRV_SUDO.exitCode });
          await sshd('/tmp/second');
          const changed = await start(...flagsOf('plain', 2022), '--ssh-host-key', 'accept-new');
          expectNamed(changed, 'NET_SSH_HOST_KEY');
        } finally {
          await host.machine.exec(['sh', '-c', 'systemctl stop test-moved; rm -f /tmp/first* /tmp/second*']);
        }
      });

      it.skipIf(!hasSudo)('says that sudo asks for a password', async () => {
        const asked = await start(...flagsOf('asked'), '--ssh-host-key', host.hostKey);
        expectNamed(asked, 'DRV_SUDO');
        expect(asked.stderr).toContain('a password is required');
      });
    });

    it('is reached through another one', async () => {
      const through = { ...options, host: 'root@127.0.0.1', jump: `root@${host.address}`, jumpHostKey: host.hostKey };
      expect(await createDriver().check(signal, through)).toMatchObject({ usable: true, problems: [] });
    });
  });
});

/** What a node leaves behind, without one: a process that outlives its unit, in a cgroup of pods, and what pods have. */
const MESS = `
mkdir -p /etc/kubernetes/manifests /var/lib/kubelet/pods/a/volume /etc/cni/net.d /var/lib/etcd /var/log/pods /run/netns
echo x >/etc/kubernetes/admin.conf; echo y >/var/lib/kubelet/config.yaml; echo z >/opt/cni/bin/other
mount -t tmpfs tmpfs /var/lib/kubelet/pods/a/volume
printf '[Service]\\nExecStart=/bin/sleep 1000\\nKillMode=process\\n' >/etc/systemd/system/kubelet.service
systemctl daemon-reload; systemctl start kubelet.service
setsid sh -c 'exec -a x sh -c "sleep 999; : containerd-shim-runc-v2 -namespace k8s.io"' >/dev/null 2>&1 </dev/null &
g=$(ls -d /sys/fs/cgroup/pids /sys/fs/cgroup/cgroup.procs 2>/dev/null | head -1); g=\${g%/cgroup.procs}
mkdir -p $g/kubepods/pod1/c
setsid sleep 998 >/dev/null 2>&1 </dev/null & echo $! >$g/kubepods/pod1/c/cgroup.procs
iptables -w -t nat -N KUBE-SERVICES; iptables -w -t nat -A PREROUTING -j KUBE-SERVICES
iptables -w -N KUBE-FORWARD; iptables -w -A FORWARD -j KUBE-FORWARD
iptables -w -t nat -A POSTROUTING -s 10.244.0.0/16 -m comment --comment mk-ci -j MASQUERADE
ip address add 10.99.0.1/32 dev lo; ip route add unreachable 10.96.0.0/16
ip link add vethtest type veth peer name vethpeer 2>/dev/null || true
echo '10.0.0.1 control-plane # mk-ci' >>/etc/hosts
sysctl -qw net.ipv4.conf.default.rp_filter=2 || true
`;

/** A kit with the footprint of a node and files that only look like its programs. */
async function makeKit(kitFolder: string): Promise<string> {
  await mkdir(join(kitFolder, 'payload', 'cni'), { recursive: true });
  await writeFile(join(kitFolder, 'payload', 'kubeadm'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(kitFolder, 'payload', 'cni', 'ptp'), '#!/bin/sh\n', { mode: 0o755 });
  const kit = kitSchema.parse({
    format: 'mk-ci-host-kit/1',
    key: '0123456789abcdef',
    arch: process.arch === 'arm64' ? 'arm64' : 'amd64',
    payloadBytes: 20,
    links: { '/usr/local/bin/kubeadm': 'kubeadm' },
    copies: { '/opt/cni/bin': 'cni' },
    footprint: NODE_FOOTPRINT,
  });
  await writeFile(join(kitFolder, KIT_FILE), JSON.stringify(kit));
  return kitFolder;
}
