import type { KubeadmSettings } from '../settings.js';
import type { NodeFacts } from './node-facts.js';
import { IS_FULL, READ_SERVER, ask } from './node-scripts.js';
import { usesOldFormat } from './render-kubeadm.js';
import { paceOf } from './translated-nodes.js';

/** How kubeadm is run in a node, as shell scripts. Pure. */

/** A kubelet that works is not started again while kubeadm waits for it. */
const KUBELET_RESTARTS = 8;

/**
 * A container of the control plane that ends at once is started again after 0, 10, 20 and 40 s. On a host that has too much to do one may
 * end four times too and then work, but lives half a minute each time.
 */
export const CONTAINER_RESTARTS = 4;
export const CONTAINER_RESTARTS_SECONDS = 150;

const LOG = '/var/log/kubeadm.log';

/** Folders with the logs of containers, one file for each start; of kube-proxy too, which is no matter to kubeadm. */
const COMPONENT_LOGS = '/var/log/pods/kube-system_*/*';

/**
 * Runs kubeadm, and ends it when the kubelet or a component that it waits for ends again and again: it would wait for the whole deadline.
 *
 * @param beside script that runs at the same time. When it fails, so has kubeadm. @default nothing
 */
export function renderRunKubeadm(command: string, beside = ''): string {
  // Where there is no room, its log may be empty, and the engine may be unable to run anything else in the node.
  const failed = `{ ${IS_FULL} && echo 'no space left on device: /var' >&2; tail -n 19 ${LOG} >&2; exit 1; }`;
  return [
    `: >${LOG}`,
    'begun=$(date +%s)',
    `${command} >>${LOG} 2>&1 & pid=$!`,
    ...(beside === '' ? [] : ['(', beside.trimEnd(), `) >>${LOG} 2>&1 & beside=$!`]),
    'ending() {',
    // Without an answer nobody ends.
    `  if [ "$(systemctl show -p NRestarts --value kubelet.service)" -ge ${KUBELET_RESTARTS} ]; then echo the kubelet`,
    `  elif [ $(($(date +%s) - begun)) -lt ${CONTAINER_RESTARTS_SECONDS} ]; then`,
    `    ls ${COMPONENT_LOGS}/${CONTAINER_RESTARTS}.log | sed -n '1s|.*/\\([^/]*\\)/[^/]*$|\\1|p'`,
    '  fi',
    '}',
    '( while sleep 1 && kill -0 $pid; do',
    '  name=$(ending)',
    `  [ -z "$name" ] || { echo "$name ends again and again" >>${LOG}; kill $pid; exit; }`,
    'done ) >/dev/null 2>&1 &',
    ...(beside === ''
      ? [`wait $pid || ${failed}`]
      : [`wait $pid || { kill $beside 2>/dev/null; ${failed.slice(2)}`, `wait $beside || ${failed}`]),
    '',
  ].join('\n');
}

/**
 * Seconds until the API server answers. It takes connections long before it serves, and a kubelet waits that long for an answer; after
 * that it asks at ever longer intervals, and one that is started again is sooner.
 */
const SLOW_SECONDS = 10;

/** File that is there when it took longer. */
const SLOW = '/etc/mk-ci/api-server-was-slow';

/** What `kubeadm init` leaves to others. */
export interface InitPlan {
  /** Its phases that it does not run. */
  readonly skipped: readonly string[];
  /** Script that runs at the same time. */
  readonly beside: string;
  /** Script that runs once it has succeeded. */
  readonly after: string;
}

/** Certificate and key that kubeadm makes first of those that the API server knows. */
const IDENTITY = '/etc/kubernetes/pki/apiserver-kubelet-client';

/** Components as kubeadm's phase `control-plane` names them. */
const LATE = ['controller-manager', 'scheduler'] as const;

/**
 * What takes time in `kubeadm init` besides work. The controller manager and the scheduler start with the API server, take the
 * processors from it, are refused by it for the second and a half until it has written its roles, and try again at ever longer intervals; so
 * they are started then. At the end it starts the kubelet again, which then looks for no pods for a second, to let it read its
 * certificate from the file that it renews: the one that runs does so already.
 *
 * @param config path of kubeadm's configuration in the node
 * @param seconds after which the API server has to answer
 */
export function planInit(
  settings: KubeadmSettings,
  facts: Pick<NodeFacts, 'isTranslated' | 'programs'>,
  { config, seconds }: { readonly config: string; readonly seconds: number },
): InitPlan {
  const start = (component: string): string => `kubeadm init phase control-plane ${component} --config ${config}`;
  // Without its wait, kubeadm goes on as soon as the API server answers: within its limit for calls, a minute in old formats.
  const skipped = ['wait-control-plane', ...LATE.map((component) => `control-plane/${component}`)];
  if (paceOf(facts, settings).startsLate) return { skipped, beside: '', after: `${LATE.map(start).join('\n')}\n` };
  if (usesOldFormat(settings) || facts.programs['curl'] === undefined) return { skipped: [], beside: '', after: '' };
  const [first, second] = LATE;
  const beside = [
    `begun=$(date +%s)`,
    `rm -f ${SLOW}`,
    'answer() {',
    `  ${READ_SERVER}`,
    `  ${ask(`${IDENTITY}.crt`, `${IDENTITY}.key`)} -w '%{http_code}' "$server/readyz"`,
    '}',
    // Whether it is ready or not: before its roles are there it does not tell.
    'until case $(answer) in 200|500) ;; *) false;; esac; do',
    `  [ $(($(date +%s) - begun)) -lt ${seconds} ] || { echo 'the API server did not answer in ${seconds} s'; exit 1; }`,
    '  sleep 0.1',
    'done',
    `[ $(($(date +%s) - begun)) -lt ${SLOW_SECONDS} ] || touch ${SLOW}`,
    `${start(first)} & first=$!`,
    start(second),
    'wait $first',
    '',
  ].join('\n');
  return { skipped: [...skipped, 'kubelet-finalize'], beside, after: finalizeKubelet(config) };
}

/** Kubeadm's phase `kubelet-finalize`, or the file that it writes, for the next start of the kubelet. */
const finalizeKubelet = (config: string): string => `identity=/var/lib/kubelet/pki/kubelet-client-current.pem
if [ -e ${SLOW} ]; then
  rm -f ${SLOW}
  kubeadm init phase kubelet-finalize all --config ${config}
elif [ -e $identity ]; then sed -i -e "s|client-certificate-data: .*|client-certificate: $identity|" \\
  -e "s|client-key-data: .*|client-key: $identity|" /etc/kubernetes/kubelet.conf
fi
`;
