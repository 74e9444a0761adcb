import type { NodeFacts } from './node-facts.js';
import { NODE_MARKER } from './node-marker.js';
import { unit, type NodeFile, type RuntimePlan } from './render-runtimes.js';

/** Shell scripts that run in nodes, each in one call. Pure. */

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Writes each file to a temporary name beside it and renames it: runtimes read these folders while they run. */
export function renderWriteFiles(files: readonly NodeFile[]): string {
  return files
    .map(({ path, content, mode = 0o644 }) => {
      const folder = quote(path.slice(0, path.lastIndexOf('/')) || '/');
      const temporary = quote(`${path}.mk-ci`);
      const base64 = Buffer.from(content).toString('base64');
      return `mkdir -p ${folder} && echo ${base64} | base64 -d >${temporary} && chmod ${mode.toString(8)} ${temporary} && mv -f ${temporary} ${quote(path)}`;
    })
    .map((line) => `${line}\n`)
    .join('');
}

/** systemd answers a moment after the container has started. */
export const WAIT_FOR_SYSTEMD =
  'for i in $(seq 600); do systemctl show --property=Version >/dev/null 2>&1 && break; sleep 0.05; done\n';

/** Starts units in order and waits for the runtime's socket. */
export function renderStartRuntime({ units, socket, importCommand }: RuntimePlan, facts: NodeFacts): string {
  const marker = '/var/lib/mk-ci-images-imported';
  return [
    'systemctl daemon-reload',
    `systemctl start ${units.join(' ')}`,
    `for i in $(seq 600); do [ -S ${socket} ] && break; sleep 0.05; done`,
    `[ -S ${socket} ] || { echo "the socket ${socket} did not appear" >&2; systemctl --no-pager status ${units.join(' ')} >&2; exit 1; }`,
    ...(facts.imageArchive === undefined
      ? []
      : [`[ -e ${marker} ] || { ${importCommand(facts.imageArchive)} >/dev/null && touch ${marker}; }`]),
    '',
  ].join('\n');
}

/** The kubelet as kubeadm expects it, restarted for as long as it takes. */
export function kubeletUnit({ programs }: NodeFacts, runtimeUnits: readonly string[]): NodeFile[] {
  return [
    unit('kubelet.service', {
      Unit: { Description: 'kubelet', After: runtimeUnits.join(' '), StartLimitIntervalSec: '0' },
      Service: {
        EnvironmentFile: '-/var/lib/kubelet/kubeadm-flags.env',
        ExecStart: `${programs['kubelet'] ?? '/usr/local/bin/kubelet'} --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS`,
        Restart: 'always',
        // The least that systemd notices as a pause: kubeadm waits for it.
        RestartSec: '300ms',
        KillMode: 'process',
      },
    }),
    // A folder of additions that an image brings would be merged into ours.
    { path: '/etc/systemd/system/kubelet.service.d/10-kubeadm.conf', content: '' },
  ];
}

/** kubectl with the rights of the administrator, on a control plane. */
export const ADMIN_KUBECTL = 'kubectl --kubeconfig /etc/kubernetes/admin.conf';

export const START_KUBELET = 'systemctl start kubelet.service\n';
export const RESTART_KUBELET = 'systemctl restart kubelet.service\n';

/** Shell words that ask the API server which the kubelet has, by a certificate; without a proxy that the host's environment may name. */
export const READ_SERVER = `server=$(sed -n 's/^ *server: *//p' /etc/kubernetes/kubelet.conf 2>/dev/null)`;
export const ask = (certificate: string, key: string): string =>
  `curl -sk --noproxy '*' -o /dev/null --max-time 5 --cert ${certificate} --key ${key}`;

/** Orderly end before the machine stops: containers get a moment, and no unit is killed at the time limit of the engine. */
export const STOP_NODE = 'systemctl stop kubelet.service; sync\n';

/**
 * Shell condition: the node is known to have no room left. Who finds none can not write a log either. etcd alone begins with a file of
 * 64 MiB.
 */
export const IS_FULL = '[ "$(df --output=avail -k /var 2>/dev/null | tail -n 1)" -lt 131072 ] 2>/dev/null';

/** State and last words of what a start depends on, for {@link readNodeFailure}. */
export function renderFailureScript(runtimeUnits: readonly string[]): string {
  return [
    `for u in kubelet.service ${runtimeUnits.join(' ')}; do`,
    '  echo "== unit $u $(systemctl is-active $u) $(systemctl show -p NRestarts --value $u)"',
    '  journalctl -u $u --no-pager -o cat -n 40 2>/dev/null',
    'done',
    'for c in etcd kube-apiserver kube-controller-manager kube-scheduler; do',
    '  f=$(ls -t /var/log/pods/kube-system_$c-*/$c/*.log 2>/dev/null | head -1)',
    '  [ -n "$f" ] && { echo "== container $c $(basename "$f" .log)"; tail -n 40 "$f" | cut -d" " -f4-; }',
    'done',
    // cgroup v2 counts in all groups around the process; in v1 the count ends with the container, and the kernel's log stays: also that of
    // earlier nodes on this host, whose static pods have the same ids.
    `find /sys/fs/cgroup -name memory.events | xargs -r awk '$1 == "oom_kill" && $2 > 0 { n = 1 } END { if (n) print "== lacks memory" }'`,
    'pods=$(ls /var/log/pods 2>/dev/null | sed "s/.*_/pod/")',
    `since=$(($(cut -d. -f1 /proc/uptime) - $(date +%s) + $(stat -c %Y ${NODE_MARKER} 2>/dev/null || echo 0)))`,
    `killed=$(dmesg 2>/dev/null | awk -v since=$since -F '[][]' '/oom-kill:/ && $2 >= since + 0')`,
    '[ -z "$pods" ] || { echo "$killed" | grep -qF "$pods" && echo "== lacks memory"; }',
    `${IS_FULL} && echo "== lacks disk"`,
    'true',
    '',
  ].join('\n');
}

export interface NodeFailure {
  /** Unit or container that is to blame. */
  readonly component: string;
  readonly lines: readonly string[];
  /** What the node has too little of: the kernel ended processes for want of memory, or nothing more can be written. */
  readonly lacks?: 'memory' | 'disk';
}

/**
 * Who is to blame for a start that failed: a runtime that does not run, a kubelet that keeps ending, a control plane
 * container that was started again, in this order; otherwise the kubelet, which knows what it waits for.
 */
export function readNodeFailure(text: string): NodeFailure {
  const sections = text.split(/^== /m).slice(1);
  const parsed = sections.map((section) => {
    const [head = '', ...lines] = section.trimEnd().split('\n');
    const [kind = '', name = '', ...rest] = head.split(' ');
    return { kind, name: name.replace(/\.service$/, ''), rest, lines };
  });
  const units = parsed.filter(({ kind }) => kind === 'unit');
  const kubelet = units.find(({ name }) => name === 'kubelet');
  const runtime = units.find(({ name, rest }) => name !== 'kubelet' && rest[0] !== 'active');
  const isLooping =
    kubelet !== undefined &&
    (rest(kubelet, 0) === 'failed' || rest(kubelet, 0) === 'activating' || Number(rest(kubelet, 1)) > 3);
  const restarted = parsed.find(({ kind, rest }) => kind === 'container' && Number(rest[0]) > 0);
  const culprit = runtime ?? (isLooping ? kubelet : undefined) ?? restarted ?? kubelet;
  const lacking = parsed.filter(({ kind }) => kind === 'lacks').map(({ name }) => name);
  const lacks = (['disk', 'memory'] as const).find((thing) => lacking.includes(thing));
  return {
    component: culprit?.name ?? 'node',
    lines: worstLines(culprit?.lines ?? []),
    ...(lacks === undefined ? {} : { lacks }),
  };
}

function rest(section: { readonly rest: readonly string[] }, index: number): string {
  return section.rest[index] ?? '';
}

/** Lines that tell of errors, by the marks of klog and logrus; the last ones when there is none. */
export function worstLines(lines: readonly string[]): readonly string[] {
  const bad = lines.filter((line) =>
    /^[EF]\d{4} |^panic:|level=(error|fatal)|"level":"(error|fatal)"|^Error: /.test(line),
  );
  return (bad.length > 0 ? bad : lines).slice(-15).map((line) => line.slice(0, 500));
}
