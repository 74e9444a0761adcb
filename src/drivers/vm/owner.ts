import { z } from 'zod';

import type { Labels } from '../../process.js';

/** Whose a virtual machine is. Written on the machine itself, in whatever field its hypervisor has for notes. */
export interface MachineOwner {
  /** Folder of the machines of this mk-ci: two of them on one host do not take each other's machines. */
  readonly folder: string;
  readonly network: string;
  readonly labels: Labels;
}

const MARK = 'mk-ci ';
const schema = z.object({ folder: z.string(), network: z.string(), labels: z.record(z.string(), z.string()) });

/** One line of ASCII, for fields that know no other text: without quotes, spaces or `%` in what was given. Pure. */
export function formatOwner({ folder, network, labels }: MachineOwner): string {
  return MARK + Buffer.from(JSON.stringify({ folder, network, labels })).toString('base64url');
}

/** The owner from a field that may hold more; `undefined` for a machine that is not ours. Pure. */
export function parseOwner(text: string): MachineOwner | undefined {
  const encoded = /(?:^|\s)mk-ci ([\w-]+)/.exec(text)?.[1];
  if (encoded === undefined) return undefined;
  try {
    return schema.parse(JSON.parse(Buffer.from(encoded, 'base64url').toString('utf8')));
  } catch {
    return undefined;
  }
}
