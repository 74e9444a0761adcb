import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { createContainerDriver, DOCKER } from '../src/drivers/container/index.js';
import type { Machine } from '../src/drivers/driver.js';
import { generateKeyPair } from '../src/drivers/ssh-connection/index.js';
import { exec } from '../src/exec.js';
import { waitFor } from '../src/wait.js';
import { ROOT } from './mk-ci.js';

/** A container that is booted by systemd, as a host that is given: with sshd, a user with sudo, and one without. */
export interface TestHost extends AsyncDisposable {
  readonly machine: Machine;
  readonly address: string;
  /** File with the private key of root, `admin` and `nobody2`. */
  readonly key: string;
  readonly hostKey: string;
  /** Folders of cgroups that this container has in common with all others: what is in them says nothing of it. */
  readonly sharedCgroups: readonly string[];
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
    sharedCgroups: await findSharedCgroups(name),
    [Symbol.asyncDispose]: async () => {
      await machines.remove(name, signal);
    },
  };
}

/** What tests on the host do not need of what tests need. */
const NOT_THERE = /^node_modules\/(@electric-sql|@typescript-eslint|eslint|playwright|prettier|typescript)/;

/**
 * Node.js and mk-ci as they are installed.
 *
 * @param place folder of the host, outside of all that is compared
 * @param hasTests whether tests can be run there, too
 */
export async function copyProgram(
  { machine }: TestHost,
  { place, folder, hasTests = false }: { readonly place: string; readonly folder: string; readonly hasTests?: boolean },
): Promise<void> {
  const lock = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly optional?: boolean }>>;
  };
  const modules = Object.entries(lock.packages).flatMap(([path, { dev = false, optional = false }]) => {
    if (!/^node_modules\/(@[^/]+\/)?[^/]+$/.test(path)) return [];
    const isThere = hasTests ? !NOT_THERE.test(path) && existsSync(join(ROOT, path)) : !dev && !optional;
    return isThere ? [path] : [];
  });
  const own = hasTests ? ['src', 'integration'] : ['bin', 'dist'];
  const list = join(folder, 'program.txt');
  const archive = join(folder, 'program.tar');
  await writeFile(list, ['package.json', ...own, ...modules].join('\n'));
  await exec(['tar', '-C', ROOT, '-cf', archive, '--files-from', list]);
  await machine.copyTo(archive, `${place}/program.tar`, signal);
  await machine.copyTo(process.execPath, `${place}/node`, signal);
  await rm(archive);
  await machine.exec(['sh', '-ec', `cd ${place}; tar -xf program.tar; rm program.tar; mkdir home`]);
}

/** Trees of version 1 in which the engine gives its containers no folder of their own. */
async function findSharedCgroups(name: string): Promise<string[]> {
  const { stdout: pid } = await exec(['docker', 'inspect', '--format', '{{.State.Pid}}', name]);
  const list = await readFile(`/proc/${pid.trim()}/cgroup`, 'utf8');
  return list.split('\n').flatMap((line) => {
    const tree = /^[1-9]\d*:(?:name=)?([^:]+):\/$/.exec(line)?.[1];
    return tree === undefined ? [] : [`/sys/fs/cgroup/${tree}/`];
  });
}

/**
 * Gives a host sudo and two users who log in with the same key: `admin`, who may use it, and `asked`, of whom it wants a password.
 *
 * @returns `false` where the package is not to be had
 */
export async function addSudo({ machine }: TestHost, folder: string): Promise<boolean> {
  const target = join(folder, 'sudo');
  await mkdir(target, { recursive: true, mode: 0o755 });
  const got = await exec(['apt-get', 'download', 'sudo'], { cwd: target, allowFailure: true, timeoutMs: 60_000 });
  const [file] = (await readdir(target)).filter((name) => name.endsWith('.deb'));
  if (got.exitCode !== 0 || file === undefined) return false;
  await machine.copyTo(join(target, file), '/tmp/sudo.deb', signal);
  const script = `
    dpkg --force-depends -i /tmp/sudo.deb >/dev/null 2>&1 || exit 3; rm /tmp/sudo.deb; sudo -V >/dev/null || exit 3
    for user in admin asked; do
      useradd -m -s /bin/sh -p '*' $user; mkdir -m 700 /home/$user/.ssh
      cp /root/.ssh/authorized_keys /home/$user/.ssh; chown -R $user /home/$user/.ssh
    done
    printf 'admin ALL=(ALL) NOPASSWD: ALL\nasked ALL=(ALL) ALL\n' >/etc/sudoers.d/test; chmod 440 /etc/sudoers.d/test
    runuser -u admin -- sudo -n true # the first time it leaves a file in the home\n`;
  const { exitCode } = await machine.exec(['sh'], { input: script, allowFailure: true, timeoutMs: 60_000 });
  return exitCode === 0;
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
export async function pictureOf({
  machine,
  sharedCgroups,
}: Pick<TestHost, 'machine' | 'sharedCgroups'>): Promise<Record<string, string[]>> {
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
    const { stdout } = await machine.exec(['sh'], { input: `${script}\ntrue\n`, timeoutMs: 240_000 });
    picture[name] = stdout
      .split('\n')
      .filter((line) => line.trim() !== '' && !sharedCgroups.some((folder) => line.startsWith(folder)))
      .sort();
  }
  return picture;
}

const OUTER_SETTINGS =
  '/proc/sys/vm/overcommit_memory /proc/sys/vm/panic_on_oom /proc/sys/kernel/panic /proc/sys/kernel/panic_on_oops /proc/sys/kernel/keys';
