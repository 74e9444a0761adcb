import { setTimeout as delay } from 'node:timers/promises';

import type { ApiAnswer, ApiClient } from '../src/cluster/api-client.js';

/** The pod whose start, and whose first answer of DNS, say that a cluster is of use. */

const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'probe', namespace: 'default' },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'probe', image: 'registry.k8s.io/pause:3.10.2', imagePullPolicy: 'Never' }],
  },
};

/** Three translated machines on two processors may keep a question waiting. */
const ANSWER_MS = 120_000;

/** Makes the pod and watches it: somebody who asks again and again takes a translated machine a tenth of its processors. */
export async function waitForProbePod(client: ApiClient, signal: AbortSignal): Promise<void> {
  const pods = '/api/v1/namespaces/default/pods';
  const create = async (): Promise<ApiAnswer> =>
    await client.request('POST', pods, { signal, body: POD, timeoutMs: ANSWER_MS });
  let created = await create();
  // Clusters of others are given before the namespace has its service account.
  for (; created.status === 403; created = await create()) await delay(50, undefined, { signal });
  if (created.status !== 201) throw new Error(`no pod could be created: ${created.status} ${created.body}`);
  const { metadata } = JSON.parse(created.body) as { readonly metadata: { readonly resourceVersion: string } };
  const path = `${pods}?watch=true&fieldSelector=metadata.name%3Dprobe&resourceVersion=${metadata.resourceVersion}`;
  let rest = '';
  for await (const piece of client.stream(path, signal)) {
    const lines = (rest + piece.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const { object } = JSON.parse(line) as { readonly object: { readonly status?: { readonly phase?: string } } };
      if (object.status?.phase === 'Running') return;
    }
  }
  throw new Error('the API server ended the watch before the pod ran');
}

/** Asks the tenth address of the services for the address of `kubernetes.default`, until an answer comes. */
const ASK_DNS = `
use IO::Socket::INET;
my $name = join('', map { chr(length) . $_ } qw(kubernetes default svc cluster local)) . chr(0);
for (1..3000) {
  my $s = IO::Socket::INET->new(PeerAddr => '10.96.0.10', PeerPort => 53, Proto => 'udp');
  unless ($s) { select(undef, undef, undef, 0.05); next }
  send($s, pack('n6', 7, 0x0100, 1, 0, 0, 0) . $name . pack('n2', 1, 1), 0);
  my $bits = ''; vec($bits, fileno($s), 1) = 1;
  if (select($bits, undef, undef, 0.1) && defined(recv($s, my $answer, 512, 0))) {
    my (undef, $flags, undef, $count) = unpack('n4', $answer);
    exit 0 if ($flags & 15) == 0 && $count > 0;
  }
  select(undef, undef, undef, 0.05);
}
exit 1;
`;

/**
 * Waits in the node until DNS answers in the network of the pod that was started last, whose only process is `pause`.
 * Run {@link ASK_DNS_IN_NODE.argv} there with the input.
 */
export const ASK_DNS_IN_NODE = {
  argv: ['sh', '-c', 'exec nsenter --target "$(pgrep --newest --exact pause)" --net perl -'],
  input: ASK_DNS,
} as const;
