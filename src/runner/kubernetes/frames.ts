import { deflateRawSync, inflateRawSync } from 'node:zlib';

import { z } from 'zod';

/**
 * How a pod sends the folder of its run: as lines of its log, which every cluster keeps and passes on while they come, with
 * no right beyond reading logs and no door into the pod.
 *
 *     #mk-ci <number> <base64 of deflated: header as JSON, line feed, bytes of a file>
 *
 * Numbers rise by one from 1, so that a reader who begins anew passes over what he has, and one who misses something knows.
 * All other lines are for people.
 */
export type Frame =
  /** Bytes of a file of the run folder; `offset` 0 begins it anew. */
  | { readonly kind: 'data'; readonly path: string; readonly offset: number; readonly bytes: Buffer }
  /** Everything was sent. */
  | { readonly kind: 'end'; readonly end: PodEnd };

/** How the work in the pod ended. */
export interface PodEnd {
  /** The cell ran to its end, whatever its result: what was sent is all of it. */
  readonly isWhole: boolean;
  /** Things about clusters that fail no cell. */
  readonly problems: readonly string[];
  /** Why the cell could not be run at all. */
  readonly error?: { readonly code: string; readonly message: string; readonly advice: string };
}

const PREFIX = '#mk-ci ';
/** Of a file in one frame. Container runtimes cut lines of 16 KiB in two, and something else may come in between. */
export const FRAME_BYTES = 11 * 1024;
/** No frame of ours unpacks to more. */
const MAX_FRAME_BYTES = 64 * 1024;

const header = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('data'), path: z.string().refine(isSafePath), offset: z.int().min(0) }),
  z.object({
    kind: z.literal('end'),
    end: z.object({
      isWhole: z.boolean(),
      problems: z.array(z.string()),
      error: z.exactOptional(z.object({ code: z.string(), message: z.string(), advice: z.string() })),
    }),
  }),
]);

export function encodeFrame(number: number, frame: Frame): string {
  const { bytes = Buffer.alloc(0), ...rest } = frame.kind === 'data' ? frame : { ...frame, bytes: undefined };
  const content = Buffer.concat([Buffer.from(`${JSON.stringify(rest)}\n`), bytes]);
  return `${PREFIX}${number} ${deflateRawSync(content).toString('base64')}`;
}

/**
 * One line of a pod's log.
 *
 * @returns `undefined` for a line that is for people, `broken` for a frame that is damaged or leads out of the folder
 */
export function decodeLine(line: string): { readonly number: number; readonly frame: Frame } | 'broken' | undefined {
  if (!line.startsWith(PREFIX)) return undefined;
  const match = /^#mk-ci ([1-9]\d{0,9}) ([A-Za-z0-9+/]+={0,2})$/.exec(line);
  if (match === null) return 'broken';
  try {
    const content = inflateRawSync(Buffer.from(match[2] ?? '', 'base64'), { maxOutputLength: MAX_FRAME_BYTES });
    const cut = content.indexOf(0x0a);
    const parsed = header.parse(JSON.parse(content.subarray(0, cut).toString('utf8')));
    const frame = parsed.kind === 'data' ? { ...parsed, bytes: content.subarray(cut + 1) } : parsed;
    return { number: Number(match[1]), frame };
  } catch {
    return 'broken'; // cut, or two lines in one: the number that is missing tells
  }
}

/** Below the folder, in names that every file system takes. */
export function isSafePath(path: string): boolean {
  return (
    path.length <= 1024 &&
    !path.includes('\0') &&
    path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && part.length <= 255)
  );
}
