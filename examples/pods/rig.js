import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** kubectl of the cluster: mk-ci puts it in front of PATH and sets KUBECONFIG. */
export async function kubectl(...args) {
  const { stdout } = await run('kubectl', args, { timeout: 300_000, maxBuffer: 2 ** 24 });
  return stdout;
}

export async function get(...args) {
  return JSON.parse(await kubectl('get', '--output=json', ...args));
}

export async function apply(object) {
  const child = run('kubectl', ['apply', '--filename=-'], { timeout: 60_000 });
  child.child.stdin.end(JSON.stringify(object));
  await child;
}

/** Probes until it does not throw, and gives what it returned. */
export async function eventually(what, probe, timeoutMs = 240_000) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await probe();
    } catch (error) {
      if (Date.now() > end)
        throw new Error(`waited ${timeoutMs / 1000} s for ${what}: ${error.message}`, { cause: error });
      await delay(250);
    }
  }
}

/** The image of the cluster's own DNS server, which every node has. */
export async function dnsImage() {
  const { spec } = await get('deployment', 'coredns', '--namespace=kube-system');
  return spec.template.spec.containers[0].image;
}

/** A web server: CoreDNS with its health page on port 8080. Its log says when it is up. */
export function server(image) {
  return {
    containers: [
      {
        name: 'server',
        image,
        imagePullPolicy: 'Never',
        args: ['-conf', '/etc/server/Corefile'],
        ports: [{ containerPort: 8080 }],
        readinessProbe: { httpGet: { path: '/health', port: 8080 }, periodSeconds: 1 },
        volumeMounts: [{ name: 'config', mountPath: '/etc/server' }],
      },
    ],
    volumes: [{ name: 'config', configMap: { name: 'server' } }],
    terminationGracePeriodSeconds: 1,
  };
}

export const CORE_FILE = '.:1053 {\n  health :8080 {\n    lameduck 0s\n  }\n  whoami\n  log\n}\n';

/** A pod that asks for a web page once. */
export function client(image, url, path) {
  return kubectlPod(image, [`--server=${url}`, '--request-timeout=10s', 'get', '--raw', path]);
}

/** A pod that runs a command and ends: kubectl of its node, mounted into it. A claim is mounted on `/data`. */
export function kubectlPod(image, args, { node, claim } = {}) {
  const data = claim === undefined ? [] : [{ name: 'data', mountPath: '/data' }];
  return {
    restartPolicy: 'Never',
    ...(node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node } }),
    containers: [
      {
        name: 'client',
        image,
        imagePullPolicy: 'Never',
        command: ['/node/kubectl', ...args],
        volumeMounts: [{ name: 'node', mountPath: '/node', readOnly: true }, ...data],
      },
    ],
    volumes: [
      { name: 'node', hostPath: { path: '/usr/local/bin' } },
      ...data.map(({ name }) => ({ name, persistentVolumeClaim: { claimName: claim } })),
    ],
  };
}

/** Runs a pod to its end. @returns what the one that succeeded printed: a Job tries again, and keeps those that failed */
export async function runJob(name, namespace, pod) {
  const here = `--namespace=${namespace}`;
  await apply({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace },
    spec: { backoffLimit: 4, template: { spec: pod } },
  });
  await kubectl('wait', '--for=condition=complete', `job/${name}`, here, '--timeout=240s');
  const done = ['--field-selector=status.phase=Succeeded', `--selector=batch.kubernetes.io/job-name=${name}`];
  const { items } = await get('pods', here, ...done);
  return await kubectl('logs', items[0].metadata.name, here);
}
