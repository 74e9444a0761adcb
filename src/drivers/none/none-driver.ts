import { readFile } from 'node:fs/promises';

import { MkCiError, messageOf } from '../../errors.js';
import type { Argv, Exec, ExecOptions } from '../../exec.js';
import { runInForeground } from '../../foreground.js';
import type { Architecture, Driver, DriverHealth } from '../driver.js';
import {
  CLAIM_FILE,
  KIT_IMAGES,
  NO_CONFLICTS,
  askHost,
  createGivenMachines,
  describeChanges,
  judgeHost,
  parseClaim,
  type GivenHost,
  type HostUse,
} from '../given/index.js';

export interface NoneDriverOptions {
  readonly exec: Exec;
  /** Whether somebody agreed that this host is changed. */
  readonly isConfirmed: boolean;
  /** @default whether this process is root's */
  readonly isRoot?: boolean;
  /** @default that of this host */
  readonly platform?: NodeJS.Platform;
  /** As Node names it. @default process.arch */
  readonly architecture?: string;
  /** What a check asks for beside what every host must have. @default nothing */
  readonly use?: HostUse | undefined;
  readonly now?: () => Date;
}

const WHERE = 'this host';
const COPY_MS = 600_000;
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LC_ALL: 'C',
};

/** Clusters on this host itself: nothing is between them and it, so it has to be agreed to, and is put back afterwards. */
export function createNoneDriver(options: NoneDriverOptions): Driver {
  const { isConfirmed, platform = process.platform, now = () => new Date() } = options;
  const isRoot = options.isRoot ?? process.getuid?.() === 0;
  const architecture: Architecture = (options.architecture ?? process.arch) === 'arm64' ? 'arm64' : 'amd64';
  const host = createThisHost(options.exec);

  const check = async (signal: AbortSignal): Promise<DriverHealth> => {
    signal.throwIfAborted();
    const no = (reason: string, message: string, fix: string): DriverHealth => ({
      usable: false,
      problems: [{ reason, message, fix }],
      facts: {},
    });
    if (platform !== 'linux') {
      return no(
        'DRV_NONE_PLATFORM',
        `nodes do not run on ${platform}`,
        'Use Linux, or the driver ssh with such a host.',
      );
    }
    if (!isRoot) return no('DRV_NONE_ROOT', 'this user is not root', 'Run mk-ci as root, such as with sudo.');
    const { use = NO_CONFLICTS } = options;
    return judgeHost(await askHost(host, use, signal), WHERE, architecture, use.subnets);
  };

  return {
    info: {
      name: 'none',
      summary: 'this host itself, changed after --yes, and put back as it was',
      machines: 'given',
      bootstrap: 'kubeadm',
      sharesKernel: true,
      maxMachines: 1,
      platforms: ['linux'],
      architectures: ['amd64', 'arm64'],
      containerRuntimes: ['containerd'],
      experimental: true,
    },
    check,
    images: KIT_IMAGES,
    machines: createGivenMachines({
      driver: 'none',
      hosts: {
        names: async () => {
          const claim = parseClaim(await readFile(CLAIM_FILE, 'utf8').catch(() => ''));
          return claim === undefined ? [] : [claim.name];
        },
        find: async () => host,
        note: async () => host,
        forget: async () => undefined,
      },
      now,
      confirm: (kit, where) => {
        if (isConfirmed) return;
        throw new MkCiError('DRV_NOT_CONFIRMED', { message: where, details: { problems: describeChanges(kit) } });
      },
    }),
  };
}

function createThisHost(exec: Exec): GivenHost {
  const run = async (argv: Argv, { env, ...rest }: ExecOptions = {}) =>
    await exec(argv, { ...rest, env: { ...ENVIRONMENT, ...env } });
  const copy = async (from: string, to: string, signal?: AbortSignal): Promise<void> => {
    const script =
      'mkdir -p "$(dirname "$2")" && rm -rf "$2.mk-ci" && cp -a --reflink=auto "$1" "$2.mk-ci" && rm -rf "$2" && mv -T "$2.mk-ci" "$2"';
    const result = await run(['sh', '-c', script, 'sh', from, to], { signal, timeoutMs: COPY_MS, allowFailure: true });
    if (result.exitCode === 0) return;
    const isFull = result.stderr.includes('No space left on device');
    await run(['rm', '-rf', `${to}.mk-ci`], { timeoutMs: COPY_MS, allowFailure: true }).catch(messageOf);
    throw new MkCiError(isFull ? 'HOST_DISK_FULL' : 'DRV_FAILED', {
      message: `${to}: ${result.stderr.trim().split('\n').at(-1) ?? ''}`,
    });
  };
  const session: GivenHost['session'] = async (argv, { terminalType, signal } = {}) =>
    await runInForeground(argv, { env: { ...ENVIRONMENT, TERM: terminalType }, signal });
  return { where: WHERE, reachedAt: '127.0.0.1', exec: run, session, copyTo: copy, copyFrom: copy };
}
