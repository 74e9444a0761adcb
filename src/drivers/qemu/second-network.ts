import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { z } from 'zod';

import { MkCiError } from '../../errors.js';
import type { DriverOptions } from '../driver.js';
import { parseDriverOptions } from '../driver-options.js';
import type { SecondNetwork } from '../vm/index.js';
import { parseConnected } from './qmp-messages.js';

/**
 * A second network card, by the options of an environment: on a bridge of a Linux host, or on the Unix socket of a program that
 * takes frames (socket_vmnet on macOS, passt on Linux). Machines are reached by the forwarded ports of the first one in any case.
 */

export const NETWORK_OPTIONS = ['bridge', 'networkSocket'] as const;

/** The kernel's limit for names of interfaces (IFNAMSIZ), and what `sockaddr_un` has room for on macOS. */
const MAX_NAME = 15;
const MAX_SOCKET_PATH = 103;

const schema = z
  .object({
    bridge: z
      .string()
      .regex(/^[\w.-]+$/, { error: 'the name of a bridge such as br0' })
      .max(MAX_NAME),
    networkSocket: z.string().startsWith('/', { error: 'an absolute path' }).max(MAX_SOCKET_PATH),
  })
  .partial()
  .refine(({ bridge, networkSocket }) => bridge === undefined || networkSocket === undefined, {
    path: ['networkSocket'],
    error: 'not together with options.bridge',
  });

/**
 * What the options of a new machine say, with a MAC of its own: hosts whose machines meet in a network may be as alike as two
 * agents of one CI.
 *
 * @throws {MkCiError} `CFG_INVALID` with all that is not right; `DRV_UNSUPPORTED` for a bridge where the host has none
 */
export function readSecondNetwork(options: DriverOptions, platform: NodeJS.Platform): SecondNetwork | undefined {
  const { bridge, networkSocket } = parseDriverOptions(schema, options, {
    driver: 'qemu',
    advice: 'Correct the options of the environment, or the flags --bridge and --network-socket.',
  });
  const mac = newMac();
  if (networkSocket !== undefined) return { kind: 'socket', path: networkSocket, mac };
  if (bridge === undefined) return undefined;
  if (platform === 'linux') return { kind: 'bridge', bridge, mac };
  throw new MkCiError('DRV_UNSUPPORTED', {
    message: `driver qemu: options.bridge on ${platform}`,
    advice: 'Use options.networkSocket with the socket of socket_vmnet.',
  });
}

/** On one host, with a program that listens already. */
const CONNECT_MS = 2000;
const POLL_MS = 50;

/**
 * QEMU starts without a word when nobody listens at the socket, and does not try again.
 *
 * @param ask what the monitor prints for `info network`
 * @throws {MkCiError} `NET_UNREACHABLE`
 */
export async function waitForSecondNetwork(
  { path }: Extract<SecondNetwork, { readonly kind: 'socket' }>,
  ask: () => Promise<string>,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + CONNECT_MS;
  for (;;) {
    const isConnected = parseConnected(await ask());
    if (isConnected === true) return;
    if (isConnected === false || performance.now() > deadline) break;
    await delay(POLL_MS, undefined, { signal });
  }
  throw new MkCiError('NET_UNREACHABLE', {
    message: `nobody takes frames at ${path}`,
    advice: 'Start what options.networkSocket is the socket of, socket_vmnet or passt, before the machine.',
  });
}

/** One of the range that KVM took for its machines. */
function newMac(): string {
  return ['52', '54', '00', ...[...randomBytes(3)].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}
