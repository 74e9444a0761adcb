import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { isMkCiError, MkCiError } from '../../errors.js';
import { lastLines, type Exec } from '../../exec.js';
import { FIXED_TIME_SECONDS } from './tar.js';

/** The root file system of nodes: Debian, made by mmdebstrap from the mirrors that this host uses itself. */

export const SUITE = 'trixie';

/** What kubeadm, the kubelet, both runtimes and people on a node need. */
export const PACKAGES: readonly string[] = [
  ...['systemd', 'systemd-sysv', 'dbus', 'openssh-server', 'ca-certificates', 'procps', 'kmod', 'util-linux', 'mount'],
  ...['runc', 'docker.io', 'docker-cli'],
  ...['iptables', 'nftables', 'conntrack', 'ipset', 'socat', 'ethtool', 'iproute2', 'iputils-ping', 'curl'],
  'e2fsprogs',
].sort();

const DROPPED_PATHS = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/locale/*', '/usr/share/info/*'] as const;
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const TIMEOUT_MS = 30 * 60_000;

/** A source of packages: a line of apt's `deb` format without suite and components. */
export interface AptMirror {
  readonly uri: string;
  readonly isSecurity: boolean;
}

/**
 * Debian mirrors of this host, from the files of `/etc/apt`. Pure. Both formats are read; sources that are not of Debian
 * (they have another kind of suite) and disabled ones are left out.
 *
 * @param texts content of `sources.list` and of the files in `sources.list.d`
 */
export function parseAptMirrors(texts: readonly string[]): AptMirror[] {
  const found: AptMirror[] = [];
  const add = (uri: string, suite: string, components: string): void => {
    const match =
      /^(?:bullseye|bookworm|trixie|forky|sid|stable|testing|unstable)(-security|\/updates)?(?:-updates)?$/.exec(suite);
    if (match === null || !/\bmain\b/.test(components) || !/^(?:https?|file|mirror\S*):/.test(uri)) return;
    const isSecurity = match[1] !== undefined;
    if (!found.some((mirror) => mirror.uri === uri && mirror.isSecurity === isSecurity))
      found.push({ uri, isSecurity });
  };
  for (const text of texts) {
    for (const line of text.split('\n')) {
      const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)$/.exec(line);
      if (match) add(match[1] ?? '', match[2] ?? '', match[3] ?? '');
    }
    for (const stanza of text.split(/\n\s*\n/)) {
      const lines = stanza.split('\n').filter((line) => !line.startsWith('#'));
      const field = (name: string): string =>
        lines
          .find((line) => line.toLowerCase().startsWith(`${name}:`))
          ?.slice(name.length + 1)
          .trim() ?? '';
      if (!/\bdeb\b/.test(field('types')) || field('enabled').toLowerCase() === 'no') continue;
      for (const uri of field('uris').split(/\s+/)) {
        for (const suite of field('suites').split(/\s+/)) add(uri, suite, field('components'));
      }
    }
  }
  return found;
}

/** `deb` lines for the node's own suite from this host's mirrors. Pure. */
export function renderAptSources(mirrors: readonly AptMirror[]): string {
  return mirrors
    .flatMap(({ uri, isSecurity }) =>
      (isSecurity ? [`${SUITE}-security`] : [SUITE, `${SUITE}-updates`]).map((suite) => `deb ${uri} ${suite} main\n`),
    )
    .join('');
}

/** @throws {MkCiError} `IMG_NO_MIRROR` when apt of this host knows no Debian mirror */
export async function readAptSources(etcApt = '/etc/apt'): Promise<string> {
  const texts: string[] = [];
  const names = await readdir(join(etcApt, 'sources.list.d')).catch(() => []);
  const paths = [join(etcApt, 'sources.list'), ...names.sort().map((name) => join(etcApt, 'sources.list.d', name))];
  for (const path of paths) texts.push(await readFile(path, 'utf8').catch(() => ''));
  const mirrors = parseAptMirrors(texts);
  if (mirrors.every(({ isSecurity }) => isSecurity)) {
    throw new MkCiError('IMG_NO_MIRROR', { message: `no Debian mirror in ${paths.join(', ')}` });
  }
  return renderAptSources(mirrors);
}

/** Names the making of a root file system: what goes into it, except the day's state of the mirror. */
export function rootfsKey(sources: string, arch: string): string {
  const inputs = { suite: SUITE, packages: PACKAGES, dropped: DROPPED_PATHS, sources, arch };
  return createHash('sha256').update(JSON.stringify(inputs)).digest('hex').slice(0, 16);
}

/**
 * Makes the root file system as a tar.
 *
 * @throws {MkCiError} `HOST_MISSING_TOOL` without mmdebstrap, `NET_UNREACHABLE` when the mirror is, `IMG_ROOTFS_FAILED`
 */
export async function makeRootfs(options: {
  readonly exec: Exec;
  readonly sources: string;
  readonly arch: string;
  readonly to: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { exec, sources, arch, to, env, signal } = options;
  const argv = [
    '--variant=minbase',
    '--format=tar',
    `--architectures=${arch}`,
    `--keyring=${KEYRING}`,
    `--include=${PACKAGES.join(',')}`,
    ...DROPPED_PATHS.map((path) => `--dpkgopt=path-exclude=${path}`),
    '--aptopt=APT::Install-Recommends "false"',
    SUITE,
    to,
    '-',
  ];
  try {
    const result = await exec(['mmdebstrap', ...argv], {
      input: sources,
      env: {
        ...env,
        SOURCE_DATE_EPOCH: String(FIXED_TIME_SECONDS),
        DEBIAN_FRONTEND: 'noninteractive',
        LC_ALL: 'C.UTF-8',
      },
      timeoutMs: TIMEOUT_MS,
      graceMs: 5000,
      labels: { role: 'node-image' },
      allowFailure: true,
      signal,
    });
    if (result.exitCode !== 0) throw rootfsFailure(result.stderr);
  } catch (error) {
    if (!isMkCiError(error, 'HOST_MISSING_TOOL')) throw error;
    throw new MkCiError('HOST_MISSING_TOOL', {
      message: 'mmdebstrap',
      advice: 'Install it (apt-get install mmdebstrap), or give a root file system with --rootfs FILE or --base IMAGE.',
      cause: error,
    });
  }
}

/** Names why mmdebstrap failed, from what it printed. Pure. */
export function rootfsFailure(output: string): MkCiError {
  const lines = lastLines(output, 40);
  const net = lines.find((line) =>
    /Could not resolve|Temporary failure resolving|Unable to connect|Connection (?:failed|refused|timed out)|Network is unreachable/i.test(
      line,
    ),
  );
  if (net !== undefined) {
    return new MkCiError('NET_UNREACHABLE', {
      message: `the Debian mirror: ${net.trim()}`,
      advice:
        'Check the mirrors in /etc/apt and the proxy, or give a root file system with --rootfs FILE or --base IMAGE.',
    });
  }
  if (lines.some((line) => /No space left on device/i.test(line))) {
    return new MkCiError('HOST_DISK_FULL', { message: 'mmdebstrap: no space left' });
  }
  if (lines.some((line) => /unable to pick chroot mode/i.test(line))) {
    return new MkCiError('IMG_ROOTFS_FAILED', {
      message: 'this user has no ids for the users of a root file system',
      advice:
        'Install uidmap and give the user 65536 ids in /etc/subuid and /etc/subgid, or do this as root, or give --rootfs FILE or --base IMAGE.',
    });
  }
  const own = lines.filter((line) => /^E:|error:/i.test(line));
  return new MkCiError('IMG_ROOTFS_FAILED', { message: (own.at(0) ?? lines.at(-1) ?? 'no output').trim() });
}
