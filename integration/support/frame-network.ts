import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

/** A network at a Unix socket, as socket_vmnet and passt are: frames after their length in four bytes. It knows nothing but DHCP. */
export interface FrameNetwork extends AsyncDisposable {
  /** MACs that asked for an address, in small letters. */
  readonly asked: ReadonlySet<string>;
}

const SERVER = [192, 0, 2, 1];
const SERVER_MAC = [0x52, 0x54, 0, 0, 0, 1];
/** Lengths of headers: Ethernet, IPv4 without options, UDP, BOOTP up to the magic number of its options. */
const [ETHERNET, IP, UDP, BOOTP] = [14, 20, 8, 240];
const OPTIONS_AT = ETHERNET + IP + UDP + BOOTP;
const REPLIES = new Map([
  [1, 2], // DISCOVER, OFFER
  [3, 5], // REQUEST, ACK
]);

/** @param address that every card is told, in the network 192.0.2.0/24 */
export async function startFrameNetwork(path: string, address: readonly number[]): Promise<FrameNetwork> {
  const asked = new Set<string>();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    let rest = Buffer.alloc(0);
    socket.on('data', (piece: Buffer) => {
      rest = Buffer.concat([rest, piece]);
      while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
        const frame = rest.subarray(4, 4 + rest.readUInt32BE(0));
        rest = rest.subarray(4 + frame.length);
        const reply = answer(frame, address);
        if (reply === undefined) continue;
        asked.add(
          frame
            .subarray(6, 12)
            .toString('hex')
            .replace(/..(?!$)/g, '$&:'),
        );
        const length = Buffer.alloc(4);
        length.writeUInt32BE(reply.length);
        socket.write(Buffer.concat([length, reply]));
      }
    });
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    asked,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The frame that answers one of a DHCP client (RFC 2131); `undefined` for all others. */
function answer(frame: Buffer, address: readonly number[]): Buffer | undefined {
  const isToServer =
    frame.length > OPTIONS_AT && frame.readUInt16BE(12) === 0x0800 && frame[23] === 17 && frame.readUInt16BE(36) === 67;
  const kind = isToServer ? REPLIES.get(optionOf(frame.subarray(OPTIONS_AT), 53)?.[0] ?? 0) : undefined;
  if (kind === undefined) return undefined;
  const bootp = Buffer.from(frame.subarray(ETHERNET + IP + UDP, OPTIONS_AT));
  bootp[0] = 2;
  bootp.set(address, 16);
  bootp.set(SERVER, 20);
  const options = Buffer.from([
    ...[53, 1, kind, 54, 4, ...SERVER, 51, 4, 0, 0, 14, 16],
    ...[1, 4, 255, 255, 255, 0, 3, 4, ...SERVER, 6, 4, ...SERVER, 255],
  ]);
  const udp = Buffer.alloc(UDP);
  udp.writeUInt16BE(67, 0);
  udp.writeUInt16BE(68, 2);
  udp.writeUInt16BE(UDP + BOOTP + options.length, 4);
  const ip = Buffer.alloc(IP);
  ip.set([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17]);
  ip.writeUInt16BE(IP + UDP + BOOTP + options.length, 2);
  ip.set(SERVER, 12);
  ip.set([255, 255, 255, 255], 16);
  ip.writeUInt16BE(checksum(ip), 10);
  const ethernet = Buffer.from([...frame.subarray(6, 12), ...SERVER_MAC, 8, 0]);
  return Buffer.concat([ethernet, ip, udp, bootp, options]);
}

function optionOf(options: Buffer, wanted: number): Buffer | undefined {
  for (
    let at = 0;
    at + 1 < options.length && options[at] !== 255;
    at += options[at] === 0 ? 1 : 2 + (options[at + 1] ?? 0)
  ) {
    if (options[at] === wanted) return options.subarray(at + 2, at + 2 + (options[at + 1] ?? 0));
  }
  return undefined;
}

/** Of RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
