import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { join } from 'node:path';

import { issueCertificate } from '../../src/cluster/pki/certificate.js';

/** Just enough of a Kubernetes API on loopback for the driver `existing` to attach to. */
export interface FakeApiServer extends AsyncDisposable {
  /** File with its address and certificate. */
  readonly kubeconfig: string;
}

/** @param answerAfterMs how long each answer takes, to interrupt a run while its cluster starts */
export async function startFakeApiServer(folder: string, answerAfterMs = 0): Promise<FakeApiServer> {
  const { certificatePem, privateKeyPem } = issueCertificate({
    commonName: 'fake-api',
    usage: 'server',
    addresses: ['127.0.0.1'],
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 24 * 3_600_000),
  });
  const server = createServer({ cert: certificatePem, key: privateKeyPem }, (request, response) => {
    const isReview = request.url?.includes('selfsubjectaccessreviews') === true;
    const body = isReview ? { status: { allowed: true } } : { gitVersion: 'v1.36.3', items: [] };
    request.resume();
    setTimeout(() => {
      response.writeHead(isReview ? 201 : 200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    }, answerAfterMs).unref();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const kubeconfig = join(folder, `kubeconfig-${port}`);
  const cluster = { server: `https://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true };
  await writeFile(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'fake',
      clusters: [{ name: 'fake', cluster }],
      users: [{ name: 'fake', user: { token: 'fake' } }],
      contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'fake' } }],
    }),
  );
  return {
    kubeconfig,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
