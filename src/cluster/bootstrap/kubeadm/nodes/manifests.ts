import type { Machine } from '../../../../drivers/driver.js';
import { runScript, type NodeWork } from './cluster-nodes.js';
import { ADMIN_KUBECTL, renderWriteFiles } from '../render/node-scripts.js';

/**
 * Applies a manifest of the user with the rights of the administrator.
 *
 * @param name of the file in the node, which stays there for people
 * @param machine of a control plane
 * @throws {MkCiError} `HOST_COMMAND_FAILED` with the words of kubectl
 */
export async function applyManifest(
  machine: Machine,
  { name, text }: { readonly name: string; readonly text: string },
  work: NodeWork,
): Promise<void> {
  const path = `/etc/mk-ci/${name}.yaml`;
  // It may hold secrets.
  const file = { path, content: text, mode: 0o600 };
  const script = `${renderWriteFiles([file])}${ADMIN_KUBECTL} apply --filename ${path} >/dev/null\n`;
  await runScript(machine, script, work);
}
