import { z } from 'zod';

import type { Machine } from '../../../../drivers/driver.js';
import { MkCiError } from '../../../../errors.js';
import {
  joinNode,
  runScript,
  runSecretScript,
  type JoinKeys,
  type NodeWork,
  type PreparedNode,
} from './cluster-nodes.js';
import { controlPlaneAddress } from '../machines/control-planes.js';

/** Control planes that come to others, and members of etcd that leave. */

const PKI = '/etc/kubernetes/pki';
/** What all control planes of a cluster share; kubeadm makes the rest from it. */
const SHARED_KEYS = [
  ...['ca.crt', 'ca.key', 'sa.key', 'sa.pub', 'front-proxy-ca.crt', 'front-proxy-ca.key'],
  ...['etcd/ca.crt', 'etcd/ca.key'],
];

/**
 * Makes a prepared node a control plane. The keys come from one that is there through this process, so none is ever stored in
 * the cluster, as `--upload-certs` would do. One at a time: etcd takes one new member after the other.
 *
 * @param from a control plane that serves
 */
export async function joinControlPlane(
  node: PreparedNode,
  from: Machine,
  keys: JoinKeys,
  work: NodeWork,
): Promise<void> {
  const shared = await runSecretScript(from, renderPackKeys(PKI), work);
  const unpack = `umask 077; mkdir -p ${PKI}; base64 -d <<'KEYS' | tar -C ${PKI} -xf -\n${shared.trim()}\nKEYS\n`;
  await runScript(node.machine, unpack, work);
  await joinNode(node, keys, work, controlPlaneAddress(node.record.node));
}

/** Through a file in memory: of a pipe the shell tells only how its last program ended, and half of the keys would be taken for all. */
export function renderPackKeys(folder: string, file = '/run/mk-ci-keys.tar'): string {
  return `umask 077
trap 'rm -f ${file}' EXIT
tar -C ${folder} -cf ${file} ${SHARED_KEYS.join(' ')}
base64 -w0 ${file}
`;
}

const MEMBERS = z.object({
  members: z.array(z.object({ ID: z.string(), peerURLs: z.exactOptional(z.array(z.string())) })),
});

/**
 * Id of the member of a control plane; `undefined` when it is none. By its address: one that never started has no name.
 *
 * @param text answer of `/v3/cluster/member/list`
 * @throws {MkCiError} `K8S_API_ERROR` for another answer
 * @see {@link https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/}
 */
export function memberIdOf(text: string, node: string): string | undefined {
  let list: z.infer<typeof MEMBERS>;
  try {
    list = MEMBERS.parse(JSON.parse(text));
  } catch (cause) {
    throw new MkCiError('K8S_API_ERROR', { message: `the members of etcd: ${text.slice(0, 200)}`, cause });
  }
  const url = `https://${controlPlaneAddress(node)}:2380`;
  return list.members.find(({ peerURLs = [] }) => peerURLs.includes(url))?.ID;
}

/** etcd answers this way of asking as long as most of its members live. */
function renderEtcdCall(path: string, body: object): string {
  const files = `--cacert ${PKI}/etcd/ca.crt --cert ${PKI}/etcd/server.crt --key ${PKI}/etcd/server.key`;
  return `curl -sS --fail-with-body -m 20 ${files} -d '${JSON.stringify(body)}' https://127.0.0.1:2379/v3/cluster/member/${path}\n`;
}

/** Takes the member of a control plane out of etcd, whether it lives or not. Succeeds when it is none. @param from another one */
export async function removeEtcdMember(from: Machine, node: string, work: NodeWork): Promise<void> {
  const { stdout } = await runScript(from, renderEtcdCall('list', {}), work);
  const id = memberIdOf(stdout, node);
  if (id !== undefined) await runScript(from, renderEtcdCall('remove', { ID: id }), work);
}
