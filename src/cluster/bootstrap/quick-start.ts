/** What makes a control plane start sooner, whoever starts it: arguments by name, and environment. */

/**
 * Kubernetes clients limit themselves to 20 requests a second unless told otherwise. The controller manager makes two for
 * each of its forty-odd controllers before the first one starts (a ServiceAccount and a token for it): that alone is 4 to 5
 * seconds between `/readyz` and the first `default` ServiceAccount. Here the API server is on the same host and protects
 * itself by priority and fairness.
 */
export const CLIENT_RATE = { 'kube-api-qps': '1000', 'kube-api-burst': '2000' } as const;

/**
 * Arguments of etcd. A single member has nobody to elect it but itself, and waits one election timeout for others first: 1 s by
 * default. 100 ms is the least that etcd takes with this heartbeat.
 */
export const LONE_MEMBER = { 'heartbeat-interval': '20', 'election-timeout': '200' } as const;

/**
 * Environment of components, of the API server above all. Starting is a burst of allocation, and a Go program collects at every doubling of a small
 * heap. Five times the heap in place of twice saves a sixth of its start-up time on the processor and costs 70 MiB; the limit
 * brings the usual behaviour back before memory becomes scarce.
 */
export const FEWER_COLLECTIONS = { GOGC: '400', GOMEMLIMIT: '768MiB' } as const;
