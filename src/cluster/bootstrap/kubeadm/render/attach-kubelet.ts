import { API_PORT, CONTROL_PLANE_ADDRESS } from '../settings.js';
import { READ_SERVER, RESTART_KUBELET, ask } from './node-scripts.js';

/**
 * How a kubelet of a cluster that starts again finds its API server, as shell scripts. Pure.
 *
 * A kubelet that is refused a connection asks for its node and its pods at ever longer intervals: it would start the pods that are not of the
 * control plane up to ten seconds after the API server is there. That of a control plane, which starts the API server, has its first
 * connections held back instead: packets that open one are dropped until somebody listens, and sent again once a second (after 1, 3 and 7 s
 * by Linux before 6.5). The API server listens a second or more before it serves, so the kubelet waits for the first answer. All others
 * are started again when it is there.
 */

/** Where it is noted that connections are held back, or were. */
const HOLD = '/run/mk-ci-hold';

/** A kubelet that waits for an answer before it starts the API server gets a refusal after this time, and goes on as others do. */
const HOLD_SECONDS = 8;

const PODS = '/var/lib/kubelet/pods';

/** Packets from this node to its API server. Comments are how rules of mk-ci are found. */
const RULE = `INPUT -i lo -d ${CONTROL_PLANE_ADDRESS}/32 -p tcp --dport ${API_PORT} --syn -m comment --comment mk-ci -j DROP`;

const portInHex = API_PORT.toString(16).toUpperCase().padStart(4, '0');
const IS_LISTENING = `grep -qs ":${portInHex} [0-9A-F:]* 0A " /proc/net/tcp /proc/net/tcp6`;

const LET_GO = `while iptables -w -D ${RULE} 2>/dev/null; do :; done; echo released >${HOLD}`;

/** Holds back and lets go in time. It runs in a session of its own: whoever began may end, and all of its processes with it. */
const HOLDER = [
  `iptables -w -I ${RULE} || exit 0; echo holding >${HOLD}`,
  `n=0; until ${IS_LISTENING} || [ $n -ge ${HOLD_SECONDS * 20} ]; do n=$((n + 1)); sleep 0.05; done`,
  LET_GO,
].join('; ');

/** Volumes that the kubelet makes anew for each start of a pod. */
const MADE_ANEW = ['projected', 'secret', 'configmap', 'downward-api'];

/**
 * Holds back the connections of a kubelet that is started next, unless it finds volumes of pods that were there before: it asks the API
 * server about them before it mounts others. Those that it makes anew go first; none is in use where nothing is mounted.
 */
export const HOLD_KUBELET = [
  `rm -f ${HOLD}`,
  `if command -v setsid >/dev/null && command -v ss >/dev/null && ! grep -q ' ${PODS}/' /proc/self/mountinfo && ! ${IS_LISTENING}; then`,
  `  rm -rf ${MADE_ANEW.map((kind) => `${PODS}/*/volumes/kubernetes.io~${kind}`).join(' ')}`,
  `  if ! find ${PODS} -mindepth 4 -maxdepth 4 -path '${PODS}/*/volume*' 2>/dev/null | grep -q .; then`,
  `    setsid sh -c '${HOLDER}' </dev/null >/dev/null 2>&1 & holder=$!`,
  `    until [ -e ${HOLD} ] || ! kill -0 $holder 2>/dev/null; do sleep 0.01; done`,
  '  fi',
  'fi',
  '',
].join('\n');

/** In tenths of a second: the packet is sent again within one or two, and a busy host takes another. */
const CONNECT_TENTHS = 30;

/** What {@link renderAttachKubelet} prints when it has done so. */
export const ATTACHED = 'attached';

/** Answers that are no, before somebody else has to decide: an API server gives some while it reads its roles. */
const REFUSALS = 100;

/**
 * Starts the kubelet again as soon as the API server answers to its name, unless it was held back and is connected. Where there is no curl,
 * and when the API server goes on to refuse, as one whose certificate is too old, nothing is done and nothing printed. In translated
 * nodes asking takes the processor from what is asked.
 *
 * @param node its name in Kubernetes
 * @param seconds after which it gives up: it may outlive the call that it was begun with
 */
export function renderAttachKubelet(node: string, seconds: number): string {
  const identity = '/var/lib/kubelet/pki/kubelet-client-current.pem';
  return [
    'now() { cut -d. -f1 /proc/uptime; }',
    `end=$(($(now) + ${seconds})) tries=0`,
    `is_holding() { [ "$(cat ${HOLD} 2>/dev/null)" = holding ]; }`,
    `while is_holding && [ "$(now)" -lt $end ] && [ $tries -lt ${2 * HOLD_SECONDS * 10} ]; do tries=$((tries + 1)); sleep 0.1; done`,
    // Somebody has ended the process that does it.
    `if is_holding; then ${LET_GO}; fi`,
    'tries=0',
    `while [ -e ${HOLD} ] && [ $tries -lt ${CONNECT_TENTHS} ]; do`,
    `  if ss -Htnp state established "dport = :${API_PORT}" | grep -q '"kubelet"'; then echo ${ATTACHED}; exit 0; fi`,
    '  tries=$((tries + 1)); sleep 0.1',
    'done',
    'command -v curl >/dev/null || exit 0',
    READ_SERVER,
    'refusals=0 pause=0.1',
    'case $(systemd-detect-virt 2>/dev/null) in qemu) pause=2;; esac',
    'while :; do',
    `  code=0; ${ask(identity, identity)} -f "$server/api/v1/nodes/${node}" || code=$?`,
    '  case $code in 0) break;; 22) refusals=$((refusals + 1));; esac',
    `  [ $refusals -lt ${REFUSALS} ] && [ "$(now)" -lt $end ] || exit 0`,
    '  sleep $pause',
    'done',
    RESTART_KUBELET.trim(),
    `echo ${ATTACHED}`,
    '',
  ].join('\n');
}
