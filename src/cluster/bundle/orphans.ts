import {
  formatIdentity,
  identifySelf,
  isAlive,
  listLabelledProcesses,
  parseIdentity,
  signalProcess,
  type Labels,
} from '../../process.js';

/** Value of the label `role` on compilers and what they start. */
const ROLE = 'bundle-build';

/** Labels of a build of this process. */
export function buildLabels(): Labels {
  return { role: ROLE, owner: formatIdentity(identifySelf()) };
}

/**
 * Ends compilers whose mk-ci was killed: they would go on for minutes, for a folder that is about to be removed.
 *
 * @returns how many were ended
 */
export function endOrphanedBuilds(): number {
  let ended = 0;
  for (const found of listLabelledProcesses()) {
    const owner = parseIdentity(found.labels['owner'] ?? '');
    if (found.labels['role'] !== ROLE || owner === undefined || isAlive(owner)) continue;
    if (signalProcess(found, 'SIGKILL')) ended += 1;
  }
  return ended;
}
