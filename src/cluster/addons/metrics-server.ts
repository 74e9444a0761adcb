/**
 * Objects of metrics-server: figures of processors and memory for `kubectl top` and autoscalers. Pure.
 *
 * @see {@link https://github.com/kubernetes-sigs/metrics-server/tree/master/manifests} for the permissions it needs
 */

/** Also of the Service; the label by which its pods are found is `k8s-app`. */
export const METRICS_SERVER = 'metrics-server';
const NAMESPACE = 'kube-system';
const GROUP = 'metrics.k8s.io';
const VERSION = 'v1beta1';
/** Where nodes' figures are asked for. */
export const NODE_METRICS_PATH = `/apis/${GROUP}/${VERSION}/nodes`;

const RBAC = 'rbac.authorization.k8s.io';
const LABELS = { 'k8s-app': METRICS_SERVER };
const PORT = 'https';

/**
 * Its pod is kept on control planes: those alone are given the image, and no node that is drained or deleted takes the figures
 * along. Kubelets have certificates that they signed themselves.
 */
export function metricsServerObjects(image: string): readonly object[] {
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: named(METRICS_SERVER) },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'ClusterRole',
      metadata: {
        name: 'system:aggregated-metrics-reader',
        labels: {
          ...LABELS,
          ...Object.fromEntries(['view', 'edit', 'admin'].map((role) => [`${RBAC}/aggregate-to-${role}`, 'true'])),
        },
      },
      rules: [{ apiGroups: [GROUP], resources: ['pods', 'nodes'], verbs: ['get', 'list', 'watch'] }],
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'ClusterRole',
      metadata: { name: 'system:metrics-server', labels: LABELS },
      rules: [
        { apiGroups: [''], resources: ['nodes/metrics'], verbs: ['get'] },
        { apiGroups: [''], resources: ['pods', 'nodes'], verbs: ['get', 'list', 'watch'] },
      ],
    },
    binding('ClusterRole', 'system:metrics-server', { name: 'system:metrics-server' }),
    binding('ClusterRole', 'system:auth-delegator', { name: 'metrics-server:system:auth-delegator' }),
    // The certificates by which it knows the API server that asks it.
    binding('Role', 'extension-apiserver-authentication-reader', {
      name: 'metrics-server-auth-reader',
      namespace: NAMESPACE,
    }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: named(METRICS_SERVER),
      spec: {
        selector: LABELS,
        ports: [{ name: PORT, port: 443, protocol: 'TCP', targetPort: PORT, appProtocol: 'https' }],
      },
    },
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: named(METRICS_SERVER), spec: deployment(image) },
    {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name: `${VERSION}.${GROUP}`, labels: LABELS },
      spec: {
        service: { name: METRICS_SERVER, namespace: NAMESPACE },
        group: GROUP,
        version: VERSION,
        insecureSkipTLSVerify: true,
        groupPriorityMinimum: 100,
        versionPriority: 100,
      },
    },
  ];
}

function named(name: string): object {
  return { name, namespace: NAMESPACE, labels: LABELS };
}

function binding(
  kind: 'Role' | 'ClusterRole',
  role: string,
  place: { readonly name: string; readonly namespace?: string },
): object {
  return {
    apiVersion: `${RBAC}/v1`,
    kind: place.namespace === undefined ? 'ClusterRoleBinding' : 'RoleBinding',
    metadata: { ...place, labels: LABELS },
    roleRef: { apiGroup: RBAC, kind, name: role },
    subjects: [{ kind: 'ServiceAccount', name: METRICS_SERVER, namespace: NAMESPACE }],
  };
}

const CONTROL_PLANE = 'node-role.kubernetes.io/control-plane';

function deployment(image: string): object {
  const probe = (path: string, periodSeconds: number, failureThreshold: number): object => ({
    httpGet: { path, port: PORT, scheme: 'HTTPS' },
    periodSeconds,
    failureThreshold,
  });
  return {
    replicas: 1,
    // Two at a time would ask every kubelet twice.
    strategy: { type: 'Recreate' },
    selector: { matchLabels: LABELS },
    template: {
      metadata: { labels: LABELS },
      spec: {
        serviceAccountName: METRICS_SERVER,
        priorityClassName: 'system-cluster-critical',
        nodeSelector: { [CONTROL_PLANE]: '' },
        tolerations: [{ key: CONTROL_PLANE, operator: 'Exists' }],
        containers: [
          {
            name: METRICS_SERVER,
            image,
            imagePullPolicy: 'IfNotPresent',
            args: [
              '--cert-dir=/tmp',
              '--secure-port=10250',
              '--kubelet-insecure-tls',
              '--kubelet-preferred-address-types=InternalIP,Hostname',
              '--kubelet-use-node-status-port',
              // The shortest that it takes, and the time for an answer that goes with it: figures need two of them.
              '--metric-resolution=10s',
              '--kubelet-request-timeout=8s',
            ],
            ports: [{ name: PORT, containerPort: 10250, protocol: 'TCP' }],
            resources: { requests: { cpu: '50m', memory: '64Mi' } },
            // It is ready once it has figures; asked every second, they are to be had when it has them.
            readinessProbe: probe('/readyz', 1, 3),
            livenessProbe: { ...probe('/livez', 10, 6), initialDelaySeconds: 10 },
            securityContext: {
              allowPrivilegeEscalation: false,
              capabilities: { drop: ['ALL'] },
              readOnlyRootFilesystem: true,
              runAsNonRoot: true,
              runAsUser: 1000,
              seccompProfile: { type: 'RuntimeDefault' },
            },
            volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
          },
        ],
        volumes: [{ name: 'tmp', emptyDir: {} }],
      },
    },
  };
}
