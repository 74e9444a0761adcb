import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';

import { z } from 'zod';

import { MkCiError, messageOf } from '../../errors.js';
import type { MachineState } from '../driver.js';
import { addressIn, parseDhcpdLeases } from './leases.js';
import type { ProcessTraits } from './process-hypervisor.js';

/**
 * vfkit: Apple's Virtualization framework as a command.
 *
 * Arguments, the service behind `--restful-uri` (`GET` and `POST /vm/state`) and its states: `crc-org/vfkit:doc/usage.md`.
 */

const LEASES = '/var/db/dhcpd_leases';
const ASK_MS = 5000;
const stateSchema = z.object({ state: z.string() });

export interface MacOptions {
  readonly leasesFile?: string;
}

export function vfkitTraits({ leasesFile = LEASES }: MacOptions = {}): ProcessTraits {
  const change = async (socket: string, state: string, signal: AbortSignal): Promise<void> => {
    await ask(socket, { method: 'POST', body: JSON.stringify({ state }), signal });
  };
  return {
    driver: 'vfkit',
    versionCommand: ['vfkit', '--version'],
    parseVersion: (said) => /version:? v?(\d+\.\d+\.\d+)/.exec(said)?.[1],
    minMajor: 0,
    install: 'Install vfkit (brew install vfkit).',
    url: 'https://github.com/crc-org/vfkit',
    ailments: [],
    argv: ({ record, paths }) => {
      const { boot } = record;
      // Its parser takes quotes around a value that holds commas or spaces; the console of its guests is hvc0.
      const bootloader =
        boot.kind === 'kernel'
          ? `linux,kernel=${boot.kernel},initrd=${boot.initrd},cmdline="${boot.append.replaceAll(/console=\S+/g, 'console=hvc0')}"`
          : `efi,variable-store=${paths.folder}/efi-variables,create`;
      return [
        'vfkit',
        ...['--cpus', String(record.cpus), '--memory', String(record.memoryMiB)],
        ...['--bootloader', bootloader],
        ...['--restful-uri', `unix://${paths.monitorSocket}`],
        ...['--device', `virtio-blk,path=${paths.disk}`],
        ...['--device', `virtio-blk,path=${paths.seed}`],
        ...['--device', `virtio-net,nat,mac=${macOf(paths.folder)}`],
        ...['--device', 'virtio-rng'],
        ...['--device', `virtio-serial,logFilePath=${paths.serialLog}`],
      ];
    },
    stateOf: async (paths, _identity, signal) => {
      // One that does not answer yet is starting.
      const said = await ask(paths.monitorSocket, { method: 'GET', signal }).catch(() => '');
      return parseVmState(said);
    },
    pressPowerButton: async (paths, _identity, signal) => {
      await change(paths.monitorSocket, 'Stop', signal);
    },
    pause: async (paths, _identity, signal) => {
      await change(paths.monitorSocket, 'Pause', signal);
    },
    resume: async (paths, _identity, signal) => {
      await change(paths.monitorSocket, 'Resume', signal);
    },
    addressOf: async ({ paths }) =>
      addressIn(parseDhcpdLeases(await readFile(leasesFile, 'utf8').catch(() => '')), { mac: macOf(paths.folder) }),
  };
}

/** `{"state":"VirtualMachineStateRunning",…}`. Pure. @see `crc-org/vfkit:doc/usage.md` */
export function parseVmState(said: string): MachineState {
  const state = readState(said);
  if (/Paus(?:ed|ing)$/.test(state)) return 'paused';
  return state.endsWith('Error') ? 'broken' : 'running';
}

function readState(said: string): string {
  try {
    return stateSchema.parse(JSON.parse(said)).state;
  } catch {
    return '';
  }
}

/** Locally administered; the same for a machine whenever it is asked for. */
function macOf(folder: string): string {
  const bytes = createHash('sha256').update(folder).digest().subarray(0, 5);
  return ['52', ...[...bytes].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

async function ask(
  socketPath: string,
  {
    method,
    body,
    signal,
  }: { readonly method: string; readonly body?: string; readonly signal?: AbortSignal | undefined },
): Promise<string> {
  const limit = AbortSignal.timeout(ASK_MS);
  const both = signal === undefined ? limit : AbortSignal.any([signal, limit]);
  return await new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      reject(new MkCiError('DRV_FAILED', { message: `vfkit does not answer: ${messageOf(error)}`, cause: error }));
    };
    const sent = request({ socketPath, path: '/vm/state', method, signal: both }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => (text += piece));
      response.on('error', fail);
      response.on('end', () => {
        const { statusCode = 0 } = response;
        if (statusCode >= 200 && statusCode < 300) resolve(text);
        else fail(new Error(`status ${statusCode}: ${text}`));
      });
    });
    sent.on('error', fail);
    if (body !== undefined) sent.setHeader('content-type', 'application/json');
    sent.end(body);
  });
}
