import { createHash } from 'node:crypto';

import type { ClusterSpec } from '../../../cluster.js';
import { addonImageFile, renderAddon } from '../../../addons/catalogue.js';
import { apiRouteFiles } from './api-route.js';
import { planDnsPatch } from './dns-patch.js';
import { parseNodeFacts } from './node-facts.js';
import { kubeletUnit } from './node-scripts.js';
import { renderInit } from './render-kubeadm.js';
import { firstPodSubnet, renderCniList } from './render-network.js';
import { planRuntime } from './render-runtimes.js';
import { CONTROL_PLANE_NODE, readSettings } from '../settings.js';
import { paceOf } from './translated-nodes.js';

/**
 * Digest of all that is written into the nodes of a cluster of this spec, for a node of which nothing is known: clusters
 * that another version of mk-ci would set up in another way have another one.
 */
export function recipeDigest(spec: Omit<ClusterSpec, 'name'>): string {
  const settings = readSettings({ ...spec, name: 'any' });
  const unknown = parseNodeFacts('');
  const { files, units } = planRuntime(settings, unknown);
  const token = '000000.0000000000000000';
  const inits = [false, true].map((isTranslated) => {
    const facts = { ...unknown, isTranslated };
    return renderInit({ settings, facts, clusterName: 'any', node: CONTROL_PLANE_NODE, token, timeoutSeconds: 1 });
  });
  const content = [
    ...inits,
    renderCniList(firstPodSubnet(settings.podSubnet)),
    ...[
      ...files,
      ...paceOf({ isTranslated: true }, settings, units).files,
      ...planDnsPatch(settings, spec.nodes === 1 ? 1 : undefined).files,
      ...kubeletUnit(unknown, units),
      ...(settings.hasBalancer ? apiRouteFiles() : []),
    ].map((file) => `${file.path}\n${file.content}`),
    // Manifests of the user are in the spec; the architecture is among the facts of the host.
    ...settings.addons.flatMap((addon) =>
      typeof addon === 'string' ? [addonImageFile(addon, 'amd64'), renderAddon(addon)] : [],
    ),
  ];
  return createHash('sha256').update(content.join('\0')).digest('hex');
}
