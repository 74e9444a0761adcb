/** The time of its last change tells what of a node is younger than the machine. */
export const NODE_MARKER = '/var/lib/mk-ci/created';

/** Before anything else is done to a new machine. */
export const MARK_NEW_NODE = `mkdir -p /var/lib/mk-ci; [ -e ${NODE_MARKER} ] || touch ${NODE_MARKER}\n`;
