import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { MkCiError } from '../../../../errors.js';
import { writeFileAtomically } from '../../../../files.js';
import type { MachineRecord } from '../../../folder.js';

/** Which nodes a saved cluster has, beside their archives. */
const LIST = z.array(
  z.object({
    node: z.string(),
    isControlPlane: z.boolean(),
    isBalancer: z.exactOptional(z.literal(true)),
    podSubnet: z.exactOptional(z.string()),
    image: z.exactOptional(z.string()),
  }),
);

export type SavedNode = z.infer<typeof LIST>[number];

const listIn = (folder: string): string => join(folder, 'nodes.json');

export async function writeNodeList(folder: string, machines: readonly MachineRecord[]): Promise<void> {
  const nodes: SavedNode[] = machines.map(({ node, isControlPlane, isBalancer, podSubnet, image }) => ({
    node,
    isControlPlane,
    ...(isBalancer === undefined ? {} : { isBalancer }),
    ...(podSubnet === undefined ? {} : { podSubnet }),
    ...(image === undefined ? {} : { image }),
  }));
  await writeFileAtomically(listIn(folder), JSON.stringify(nodes));
}

/** @throws {MkCiError} `K8S_SNAPSHOT_BROKEN` */
export async function readNodeList(folder: string): Promise<readonly SavedNode[]> {
  try {
    return LIST.parse(JSON.parse(await readFile(listIn(folder), 'utf8')));
  } catch (cause) {
    throw new MkCiError('K8S_SNAPSHOT_BROKEN', { message: `${folder}: its list of nodes can not be read`, cause });
  }
}
