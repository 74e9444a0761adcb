/** As the API takes it. */
export interface FakeNode {
  readonly apiVersion: 'v1';
  readonly kind: 'Node';
  readonly metadata: {
    readonly name: string;
    readonly annotations: Readonly<Record<string, string>>;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly status: Readonly<Record<'capacity' | 'allocatable', Readonly<Record<string, string>>>>;
}

/**
 * A node that kwok plays: the annotation makes kwok report it Ready and run its pods. Capacity is generous, since nothing
 * runs there.
 *
 * @see {@link https://kwok.sigs.k8s.io/docs/user/kwok-manage-nodes-and-pods/} for the annotation
 */
export function fakeNode(index: number): FakeNode {
  const name = `node-${index}`;
  const resources = { cpu: '32', memory: '256Gi', 'ephemeral-storage': '1Ti', pods: '110' };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      annotations: { 'kwok.x-k8s.io/node': 'fake', 'node.alpha.kubernetes.io/ttl': '0' },
      labels: {
        'kubernetes.io/arch': 'amd64',
        'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
        'node-role.kubernetes.io/worker': '',
        type: 'kwok',
      },
    },
    status: { capacity: resources, allocatable: resources },
  };
}
