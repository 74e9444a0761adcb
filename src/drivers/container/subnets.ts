/** Choosing a subnet for the network of a cluster. Pure. */

interface Range {
  readonly first: number;
  readonly last: number;
}

/**
 * Subnets to try, in an order that depends on the name: processes that make networks at the same time rarely ask for the
 * same one, and the engine refuses the second of two that do.
 *
 * The ranges are private ones that engines, VPNs and the pods and Services of a cluster (10.244.0.0/16, 10.96.0.0/12) leave
 * alone by default: 192.168.64.0/18 and 172.24.0.0/14, cut into /24.
 *
 * @param taken subnets in use, as `a.b.c.d/n`: of other networks and of routes of the host; others are ignored
 */
export function candidateSubnets(name: string, taken: readonly string[]): string[] {
  const used = taken.flatMap((cidr) => parseCidr(cidr) ?? []);
  const all = [
    ...Array.from({ length: 64 }, (_, index) => `192.168.${64 + index}.0/24`),
    ...Array.from({ length: 1024 }, (_, index) => `172.${24 + (index >> 8)}.${index & 255}.0/24`),
  ];
  const start = hash(name) % all.length;
  return [...all.slice(start), ...all.slice(0, start)].filter((cidr) => {
    const range = parseCidr(cidr);
    return range !== undefined && !used.some((other) => overlaps(range, other));
  });
}

/** Whether two subnets have an address in common; false when one is no IPv4 subnet. */
export function cidrsOverlap(left: string, right: string): boolean {
  const [a, b] = [parseCidr(left), parseCidr(right)];
  return a !== undefined && b !== undefined && overlaps(a, b);
}

export function parseCidr(text: string): Range | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (match === null) return undefined;
  const [bytes, bits] = [match.slice(1, 5).map(Number), Number(match[5])];
  if (bytes.some((byte) => byte > 255) || bits > 32) return undefined;
  const address = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const size = 2 ** (32 - bits);
  const first = Math.floor(address / size) * size;
  return { first, last: first + size - 1 };
}

function overlaps(left: Range, right: Range): boolean {
  return left.first <= right.last && right.first <= left.last;
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}
