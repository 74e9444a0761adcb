/** What a kubeconfig with one cluster, one user and one context holds. Certificates are PEM text. */
export interface KubeconfigContent {
  /** Name of cluster, user and context. */
  readonly name: string;
  readonly server: string;
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/**
 * A kubeconfig that stands alone: certificates are embedded, so it can be copied and mounted. Values are quoted as JSON,
 * which is YAML too, so no name can break out.
 *
 * @see {@link https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/} for the format
 */
export function renderKubeconfig({ name, server, ca, certificate, key }: KubeconfigContent): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const quote = JSON.stringify;
  return [
    'apiVersion: v1',
    'kind: Config',
    'clusters:',
    `- name: ${quote(name)}`,
    '  cluster:',
    `    server: ${quote(server)}`,
    `    certificate-authority-data: ${base64(ca)}`,
    'users:',
    `- name: ${quote(name)}`,
    '  user:',
    `    client-certificate-data: ${base64(certificate)}`,
    `    client-key-data: ${base64(key)}`,
    'contexts:',
    `- name: ${quote(name)}`,
    '  context:',
    `    cluster: ${quote(name)}`,
    `    user: ${quote(name)}`,
    `current-context: ${quote(name)}`,
    '',
  ].join('\n');
}

/** The same for a pod: a token of its ServiceAccount in place of a certificate, and its namespace. */
export function renderTokenKubeconfig(
  content: Omit<KubeconfigContent, 'certificate' | 'key'> & { readonly token: string; readonly namespace: string },
): string {
  const { name, server, ca, token, namespace } = content;
  return `${JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace } }],
    'current-context': name,
  })}\n`;
}
