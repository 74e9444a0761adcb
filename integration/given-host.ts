import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { createContainerDriver, DOCKER } from '../src/drivers/container/index.js';
import type { Machine } from '../src/drivers/driver.js';
import { generateKeyPair } from '../src/drivers/ssh-connection/index.js';
import { exec } from '../src/exec.js';
import { waitFor } from '../src/wait.js';

/** A container that is booted by systemd, as a host that is given: with sshd, a user with sudo, and one without. */
export interface TestHost extends AsyncDisposable {
  readonly machine: Machine;
  readonly address: string;
  /** File with the private key of root, `admin` and `nobody2`. */
  readonly key: string;
  readonly hostKey: string;
}

const { signal } = new AbortController();

export async function makeTestHost(name: string, image: string, folder: string): Promise<TestHost> {
  const { machines } = createContainerDriver({ traits: DOCKER, exec });
  if (machines === undefined) throw new Error('the driver docker makes machines');
  const machine = await machines.create({ name, image, labels: { cluster: name } }, signal);
  const keys = await generateKeyPair('test');
  const hostKeys = await generateKeyPair(name);
  await mkdir(folder, { recursive: true });
  const key = join(folder, `${name}.key`);
  const hostKeyFile = join(folder, `${name}.host`);
  await writeFile(key, keys.privateKey, { mode: 0o600 });
  await writeFile(hostKeyFile, hostKeys.privateKey, { mode: 0o600 });
  await machine.copyTo(hostKeyFile, '/etc/ssh/mk-ci-test', signal);
  const script = [
    'set -e',
    'for i in $(seq 600); do systemctl is-system-running 2>/dev/null | grep -qE "running|degraded" && break; sleep 0.1; done',
    'mkdir -p /root/.ssh /run/sshd; chmod 700 /root/.ssh',
    `echo '${keys.publicKey}' >/root/.ssh/authorized_keys`,
    "id plain >/dev/null 2>&1 || useradd -m -s /bin/sh -p '*' plain",
    `mkdir -p /home/plain/.ssh; echo '${keys.publicKey}' >/home/plain/.ssh/authorized_keys; chown -R plain /home/plain/.ssh; chmod 700 /home/plain/.ssh`,
    `systemd-run --quiet --unit=test-sshd /usr/sbin/sshd -D -e -h /etc/ssh/mk-ci-test -o UsePAM=no -o PermitRootLogin=prohibit-password -o StrictModes=no -o PidFile=none -o AllowTcpForwarding=yes`,
    '',
  ].join('\n');
  await machine.exec(['sh'], { input: script, timeoutMs: 90_000 });
  await waitFor(
    async () => {
      const { exitCode } = await machine.exec(['sh', '-c', 'grep -qi ":0016 .* 0A" /proc/net/tcp'], {
        allowFailure: true,
      });
      return exitCode === 0 ? { done: true, value: undefined } : { done: false, seen: 'nobody listens on port 22' };
    },
    { what: 'sshd', deadlineMs: 30_000 },
  );
  return {
    machine,
    address: machine.internalAddress,
    key,
    hostKey: hostKeys.publicKey.split(' ').slice(0, 2).join(' '),
    [Symbol.asyncDispose]: async () => {
      await machines.remove(name, signal);
    },
  };
}

/** Files that other programs write while a test runs. */
const MOVING = ['/etc/ld.so.cache', '/etc/resolv.conf', '/etc/hostname', '/var/log/journal', '/var/lib/systemd'];

/** What a host is like: files with their sums, units, rules, mounts, interfaces, addresses, routes, settings, processes. */
export async function pictureOf({ exec: run }: Pick<Machine, 'exec'>): Promise<Record<string, string[]>> {
  const folders = '/etc /usr /opt /root /home /srv /var/lib /var/log /var/cache /var/spool /run /tmp';
  const skip = [...MOVING, '/run', '/tmp'].map((path) => `-path ${path} -prune -o`).join(' ');
  const parts: Readonly<Record<string, string>> = {
    files: `find ${folders.replace(' /run /tmp', '')} -xdev ${skip} -type f -print0 | xargs -0 -r sha256sum | cut -c1-16,65-; find ${folders.replace(' /run /tmp', '')} -xdev ${skip} -type f -printf '%p %m %u %g %s\\n'`,
    others: `find ${folders} -xdev -path /run/systemd -prune -o -path /run/log -prune -o -path /var/log/journal -prune -o -path /var/lib/systemd -prune -o \\( -type d -o -type l \\) -printf '%p %y %m %u %g %l\\n'`,
    units: `systemctl list-unit-files --no-legend --no-pager; systemctl list-units --all --no-legend --no-pager --plain --type=service,slice,socket | grep -vE '^(run-|user|session|systemd-)' | awk '{ print $1, $2, $3, $4 }'`,
    rules: `for f in iptables-save ip6tables-save; do $f | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'; done; nft list tables`,
    mounts: `awk '{ print $5 }' /proc/self/mountinfo`,
    network: `ls /sys/class/net; ip -4 -o address show | awk '{ print $2, $4 }'; ip -4 route show`,
    settings: `for s in ip_forward conf/all/rp_filter conf/default/rp_filter conf/all/route_localnet; do echo $s $(cat /proc/sys/net/ipv4/$s); done`,
    cgroups: `find /sys/fs/cgroup -type d -name 'kubepods*'`,
    processes: `for d in /proc/[0-9]*; do tr '\\0' ' ' <$d/cmdline 2>/dev/null; echo; done | grep -E 'kube|containerd|etcd|pause' || true`,
  };
  const picture: Record<string, string[]> = {};
  for (const [name, script] of Object.entries(parts)) {
    const { stdout } = await run(['sh'], { input: `${script}\n`, timeoutMs: 240_000 });
    picture[name] = stdout
      .split('\n')
      .filter((line) => line.trim() !== '')
      .sort();
  }
  return picture;
}
