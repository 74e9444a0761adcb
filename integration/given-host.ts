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

/** Files that other programs of a host write at any time. */
const MOVING = ['/etc/ld.so.cache', '/etc/resolv.conf', '/etc/hostname', '/var/log/journal', '/var/lib/systemd'];
/** Folders whose links and folders come and go with units and logins. */
const MOVING_FOLDERS = ['/run/systemd', '/run/log', '/run/user', ...MOVING];
const FOLDERS = '/etc /usr /opt /root /home /srv /var/lib /var/log /var/cache /var/spool';

/**
 * What a host is like: files with their sums, units, rules, mounts, interfaces, addresses, routes, settings, cgroups, processes.
 * Left out: what is named above, what the picture itself starts, logins and the journal, and counters.
 */
export async function pictureOf({ exec: run }: Pick<Machine, 'exec'>): Promise<Record<string, string[]>> {
  const skip = (paths: readonly string[]): string => paths.map((path) => `-path ${path} -prune -o`).join(' ');
  const parts: Readonly<Record<string, string>> = {
    files: `find ${FOLDERS} -xdev ${skip(MOVING)} -type f -print0 | xargs -0 -r sha256sum | cut -c1-16,65-; find ${FOLDERS} -xdev ${skip(MOVING)} -type f -printf '%p %m %u %g %s\\n'`,
    others: `find ${FOLDERS} /run /tmp -xdev ${skip(MOVING_FOLDERS)} \\( -type d -o -type l \\) -printf '%p %y %m %u %g %l\\n'`,
    units: `systemctl list-unit-files --no-legend --no-pager; systemctl list-units --all --no-legend --no-pager --plain --type=service,slice,socket,timer,target,path | grep -vE '^(run-|user|session|systemd-)' | awk '{ print $1, $2, $3, $4 }'`,
    rules: `for f in iptables-save ip6tables-save; do $f | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'; done; nft list tables`,
    mounts: `awk '{ print $4, $5, $6, $9 }' /proc/self/mountinfo`,
    network: `ip -o link show | sed 's/^[0-9]*: //; s/ qlen .*//'; ip -o address show | awk '{ print $2, $3, $4 }'; ip -4 route show table all; ip -6 route show; ip rule; ls /run/netns 2>/dev/null`,
    // Settings of the kernel that belong to the host and not to what is around it, and those that nodes change.
    settings: `find /proc/sys/net ${OUTER_SETTINGS} -type f -readable 2>/dev/null | grep -vE '(_count|_rand|generation|rehash_entries)$' | while read -r s; do echo "$s $(tr '\\n\\t' '  ' <$s 2>/dev/null)"; done`,
    cgroups: `find /sys/fs/cgroup -type d | grep -vE '/(user|session|run)[^/]*\\.(slice|scope|service)'`,
    processes: `all=$(for d in /proc/[0-9]*; do echo "$(tr '\\0' ' ' <$d/cmdline 2>/dev/null) $(readlink $d/exe)"; done); echo "$all" | grep -vE '^(sh|sshd: |sshd-session: |/usr/lib/systemd/systemd-|\\(sd-pam\\)| $| */usr/bin/dash$)'`,
  };
  const picture: Record<string, string[]> = {};
  for (const [name, script] of Object.entries(parts)) {
    const { stdout } = await run(['sh'], { input: `${script}\ntrue\n`, timeoutMs: 240_000 });
    picture[name] = stdout
      .split('\n')
      .filter((line) => line.trim() !== '')
      .sort();
  }
  return picture;
}

const OUTER_SETTINGS =
  '/proc/sys/vm/overcommit_memory /proc/sys/vm/panic_on_oom /proc/sys/kernel/panic /proc/sys/kernel/panic_on_oops /proc/sys/kernel/keys';
