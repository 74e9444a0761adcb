import { MkCiError, isMkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import { createVirsh, type Virsh } from './virsh.js';

const CONNECT_MS = 15_000;
/** Those that are tried when none is given: networks and isolation by the system's libvirt, else one of the user's own. */
export const DEFAULT_URIS = ['qemu:///system', 'qemu:///session'] as const;

export interface OpenConnection {
  readonly virsh: Virsh;
  /** `nat`: networks of libvirt. `user`: only QEMU's own; a session may not make others. */
  readonly networking: 'nat' | 'user';
  /** Of the files of machines, where libvirt would run them as another user. */
  readonly runAs?: { readonly uid: number; readonly gid: number };
  readonly version: string;
  /** Why not a better one. */
  readonly refused: readonly { readonly uri: string; readonly why: string }[];
}

/** The connection to libvirt, made when it is first needed. */
export interface Connection {
  /** @throws {MkCiError} `HOST_MISSING_TOOL` without virsh, `DRV_UNUSABLE` when libvirt does not answer */
  open(signal?: AbortSignal): Promise<OpenConnection>;
}

export interface ConnectionOptions {
  readonly exec: Exec;
  /** @default the first of {@link DEFAULT_URIS} that answers */
  readonly uri?: string | undefined;
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
}

export function createConnection({ exec, uri, user }: ConnectionOptions): Connection {
  let known: OpenConnection | undefined;
  const open = async (signal?: AbortSignal): Promise<OpenConnection> => {
    const refused: { readonly uri: string; readonly why: string }[] = [];
    for (const candidate of uri === undefined ? DEFAULT_URIS : [uri]) {
      const virsh = createVirsh(exec, candidate);
      try {
        const version = parseVersion(await virsh.run(['version'], { timeoutMs: CONNECT_MS, signal }));
        const networking = /\/session\b/.test(candidate) ? 'user' : 'nat';
        const runAs = networking === 'nat' && user !== undefined ? { runAs: user } : {};
        return { virsh, networking, version, refused, ...runAs };
      } catch (error) {
        if (!isMkCiError(error, 'DRV_FAILED') && !isMkCiError(error, 'HOST_COMMAND_TIMEOUT')) throw error;
        refused.push({ uri: candidate, why: error.message });
      }
    }
    const message = refused.map((one) => `${one.uri}: ${one.why}`).join('; ');
    throw new MkCiError('DRV_UNUSABLE', { message: `libvirt does not answer: ${message}`, details: { refused } });
  };
  return {
    open: async (signal) => (known ??= await open(signal)),
  };
}

/** Of the library, from `virsh version`: such as `9.0.0`; '' for other words. Pure. */
export function parseVersion(text: string): string {
  return /^Using library: \S+ (\d+\.\d+\.\d+)/m.exec(text)?.[1] ?? '';
}
