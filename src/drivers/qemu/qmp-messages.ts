import { z } from 'zod';

/** Messages of the QEMU Machine Protocol. Pure. @see {@link https://www.qemu.org/docs/master/interop/qmp-spec.html} */

const greeting = z.object({
  QMP: z.object({ version: z.object({ qemu: z.object({ major: z.int(), minor: z.int(), micro: z.int() }) }) }),
});
const event = z.object({
  event: z.string(),
  data: z.record(z.string(), z.unknown()).optional(),
});
const failure = z.object({ error: z.object({ class: z.string(), desc: z.string() }), id: z.int().optional() });
const success = z.object({ return: z.unknown(), id: z.int().optional() });

export interface QmpEvent {
  /** Such as `SHUTDOWN`. */
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export type QmpMessage =
  | { readonly kind: 'greeting'; readonly version: string }
  | ({ readonly kind: 'event' } & QmpEvent)
  | { readonly kind: 'success'; readonly id: number | undefined; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number | undefined; readonly reason: string }
  /** A line that is none of the protocol; kept short. */
  | { readonly kind: 'unknown'; readonly text: string };

/** One line, without its end. Never throws. */
export function parseQmpLine(line: string): QmpMessage {
  const value = parseJson(line);
  if (typeof value !== 'object' || value === null) return { kind: 'unknown', text: line.slice(0, 200) };
  if ('QMP' in value) {
    const parsed = greeting.safeParse(value);
    if (parsed.success) {
      const { major, minor, micro } = parsed.data.QMP.version.qemu;
      return { kind: 'greeting', version: `${major}.${minor}.${micro}` };
    }
  } else if ('event' in value) {
    const parsed = event.safeParse(value);
    if (parsed.success) return { kind: 'event', name: parsed.data.event, data: parsed.data.data ?? {} };
  } else if ('error' in value) {
    const parsed = failure.safeParse(value);
    if (parsed.success) return { kind: 'failure', id: parsed.data.id, reason: parsed.data.error.desc };
  } else if ('return' in value) {
    const parsed = success.safeParse(value);
    if (parsed.success) return { kind: 'success', id: parsed.data.id, value: parsed.data.return };
  }
  return { kind: 'unknown', text: line.slice(0, 200) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Cuts a stream of text into lines, whatever its pieces are. Ends of lines may be `\n` or `\r\n`; blank lines are left out. */
export function createLineCutter(): (piece: string) => string[] {
  let rest = '';
  return (piece) => {
    const lines = `${rest}${piece}`.split('\n');
    rest = lines.pop() ?? '';
    return lines.map((line) => line.replace(/\r$/, '')).filter((line) => line !== '');
  };
}

/**
 * Whether the second card is connected, from `info network`; `undefined` while QEMU tries.
 *
 * @see QEMU's `net/stream.c`: the address once it is connected, `connection error` when it could not
 */
export function parseConnected(text: string): boolean | undefined {
  const line = text.split(/\r?\n/).find((one) => /\bnet1: /.test(one)) ?? '';
  if (/type=stream,.*error/.test(line)) return false;
  return /type=stream,unix:/.test(line) ? true : undefined;
}

/** Ports on this host by port of the guest, from what the monitor prints for `info usernet`. */
export function parseForwards(text: string): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*TCP\[HOST_FORWARD\]\s+\S+\s+\S+\s+(\d+)\s+\S+\s+(\d+)\s/.exec(`${line} `);
    if (match !== null) found.set(Number(match[2]), Number(match[1]));
  }
  return found;
}
