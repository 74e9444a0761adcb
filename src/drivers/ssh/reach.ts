import { connect } from 'node:net';

import { MkCiError, messageOf, systemErrorCode } from '../../errors.js';

const REACH_MS = 5000;

/**
 * Whether packets to these ports of a host arrive: that nobody listens there yet is an answer, too. Asked before anything is
 * changed, since a way by ssh, maybe through another host, says nothing of it.
 *
 * @param waitMs for each port. @default 5000
 * @throws {MkCiError} `NET_UNREACHABLE`
 */
export async function mustReach(
  { host }: { readonly host: string },
  ports: readonly number[],
  signal: AbortSignal,
  waitMs = REACH_MS,
): Promise<void> {
  for (const port of ports) {
    const why = await whyNot(host, port, AbortSignal.any([signal, AbortSignal.timeout(waitMs)]));
    signal.throwIfAborted();
    if (why === undefined) continue;
    throw new MkCiError('NET_UNREACHABLE', {
      message: `port ${port} of ${host}, where the cluster will be used from here: ${why}`,
      advice: `Let this host connect to ${host}:${port}; only ssh goes through a jump host. Or run mk-ci on that host, with the driver none.`,
    });
  }
}

async function whyNot(host: string, port: number, limit: AbortSignal): Promise<string | undefined> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (why: string | undefined): void => {
      socket.destroy();
      resolve(why);
    };
    socket.once('connect', () => {
      end(undefined);
    });
    socket.on('error', (error) => {
      end(systemErrorCode(error) === 'ECONNREFUSED' ? undefined : messageOf(error));
    });
    const late = (): void => {
      end('no answer');
    };
    if (limit.aborted) late();
    else limit.addEventListener('abort', late, { once: true });
  });
}
