/**
 * How kwok plays kubelets: which changes it makes to nodes and pods, as Go templates over the object. kwok itself brings
 * none, and reading them from the user's home would make tests depend on it.
 *
 * A node becomes Ready at once and renews that every few minutes (its Lease every ten seconds, by kwok itself). A pod that
 * was scheduled becomes Running and ready at once, a pod of a Job succeeds after a second, and a deleted pod is gone.
 *
 * @see {@link https://kwok.sigs.k8s.io/docs/user/stages-configuration/} for the format
 */
interface Stage {
  readonly name: string;
  readonly kind: 'Node' | 'Pod';
  readonly when: readonly Condition[];
  readonly delayMs?: number;
  readonly status?: string;
  readonly isDeletion?: boolean;
}

interface Condition {
  /** jq expression over the object. */
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}

const NODE_READY = '.status.conditions.[] | select( .type == "Ready" ) | .status';
const DELETED = '.metadata.deletionTimestamp';

const NODE_CONDITIONS = `
{{ $now := Now }}
conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ $now | Quote }}
  lastTransitionTime: {{ or $.metadata.creationTimestamp $now | Quote }}
{{ end }}`;

const NODE_STATUS = `${NODE_CONDITIONS}
addresses:
- type: InternalIP
  address: {{ NodeIP | Quote }}
- type: Hostname
  address: {{ .metadata.name | Quote }}
{{ with NodePort }}
daemonEndpoints:
  kubeletEndpoint:
    Port: {{ . }}
{{ end }}
nodeInfo:
  architecture: amd64
  bootID: ""
  containerRuntimeVersion: kwok
  kernelVersion: kwok
  kubeProxyVersion: ""
  kubeletVersion: {{ printf "kwok-%s" Version }}
  machineID: ""
  operatingSystem: linux
  osImage: kwok
  systemUUID: ""
phase: Running`;

const POD_STATUS = `
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
conditions:
{{ range $type := list "Initialized" "Ready" "ContainersReady" }}
- type: {{ $type }}
  status: "True"
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
{{ range .spec.readinessGates }}
- type: {{ .conditionType | Quote }}
  status: "True"
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
initContainerStatuses:
{{ range .spec.initContainers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  restartCount: 0
  {{ if eq .restartPolicy "Always" }}
  started: true
  state:
    running:
      startedAt: {{ $now | Quote }}
  {{ else }}
  started: false
  state:
    terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
  {{ end }}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  started: true
  restartCount: 0
  state:
    running:
      startedAt: {{ $now | Quote }}
{{ end }}
{{ with NodeIPsWith .spec.nodeName }}
hostIP: {{ index . 0 | Quote }}
hostIPs:
{{ range . }}
- ip: {{ . | Quote }}
{{ end }}
{{ end }}
{{ with PodIPsWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) ( or .metadata.name "" ) ( or .metadata.namespace "" ) }}
podIP: {{ index . 0 | Quote }}
podIPs:
{{ range . }}
- ip: {{ . | Quote }}
{{ end }}
{{ end }}`;

const POD_SUCCEEDED = `
{{ $now := Now }}
phase: Succeeded
conditions:
- type: Ready
  status: "False"
  reason: PodCompleted
  lastTransitionTime: {{ $now | Quote }}
- type: ContainersReady
  status: "False"
  reason: PodCompleted
  lastTransitionTime: {{ $now | Quote }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: false
  started: false
  restartCount: 0
  state:
    terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ $.status.startTime | Quote }}
      finishedAt: {{ $now | Quote }}
{{ end }}`;

const STAGES: readonly Stage[] = [
  {
    name: 'node-ready',
    kind: 'Node',
    when: [{ key: NODE_READY, operator: 'NotIn', values: ['True'] }],
    status: NODE_STATUS,
  },
  {
    name: 'node-heartbeat',
    kind: 'Node',
    when: [{ key: NODE_READY, operator: 'In', values: ['True'] }],
    delayMs: 240_000,
    status: NODE_CONDITIONS,
  },
  {
    name: 'pod-running',
    kind: 'Pod',
    when: [
      { key: DELETED, operator: 'DoesNotExist' },
      { key: '.status.phase', operator: 'In', values: ['Pending'] },
    ],
    status: POD_STATUS,
  },
  {
    name: 'pod-of-job-succeeded',
    kind: 'Pod',
    when: [
      { key: DELETED, operator: 'DoesNotExist' },
      { key: '.status.phase', operator: 'In', values: ['Running'] },
      { key: '.metadata.ownerReferences.[].kind', operator: 'In', values: ['Job'] },
    ],
    delayMs: 1000,
    status: POD_SUCCEEDED,
  },
  { name: 'pod-deleted', kind: 'Pod', when: [{ key: DELETED, operator: 'Exists' }], isDeletion: true },
];

/** The configuration file of kwok: one JSON document a stage, which is YAML too. */
export function renderKwokStages(): string {
  return STAGES.map(
    ({ name, kind, when, delayMs, status, isDeletion }) =>
      `---\n${JSON.stringify({
        apiVersion: 'kwok.x-k8s.io/v1alpha1',
        kind: 'Stage',
        metadata: { name },
        spec: {
          resourceRef: { apiGroup: 'v1', kind },
          selector: { matchExpressions: when },
          ...(delayMs === undefined ? {} : { delay: { durationMilliseconds: delayMs } }),
          next: isDeletion === true ? { delete: true } : { statusTemplate: status },
        },
      })}\n`,
  ).join('');
}
