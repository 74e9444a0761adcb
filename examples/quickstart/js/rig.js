import { setTimeout as delay } from 'node:timers/promises';

import * as k8s from '@kubernetes/client-node';

/** Clients for the cluster that mk-ci started, from the KUBECONFIG it gives to every suite. */
export function connect(impersonate) {
  if (!process.env.KUBECONFIG) throw new Error('KUBECONFIG is not set: run this suite with mk-ci run');
  const config = new k8s.KubeConfig();
  config.loadFromFile(process.env.KUBECONFIG);
  if (impersonate) config.users = config.users.map((user) => ({ ...user, impersonateUser: impersonate }));
  return {
    config,
    core: config.makeApiClient(k8s.CoreV1Api),
    apps: config.makeApiClient(k8s.AppsV1Api),
    batch: config.makeApiClient(k8s.BatchV1Api),
    autoscaling: config.makeApiClient(k8s.AutoscalingV2Api),
    coordination: config.makeApiClient(k8s.CoordinationV1Api),
    authorization: config.makeApiClient(k8s.AuthorizationV1Api),
    definitions: config.makeApiClient(k8s.ApiextensionsV1Api),
    custom: config.makeApiClient(k8s.CustomObjectsApi),
    version: config.makeApiClient(k8s.VersionApi),
  };
}

/** Probes until the probe gives a value; says what was seen last when it never does. */
export async function eventually(what, probe, patienceMs = 30_000) {
  const end = Date.now() + patienceMs;
  let seen = 'nothing';
  while (Date.now() < end) {
    try {
      const value = await probe();
      if (value) return value;
      seen = JSON.stringify(value);
    } catch (error) {
      seen = error.message;
    }
    await delay(50);
  }
  throw new Error(`${what}: not within ${patienceMs / 1000} s; seen last: ${seen}`);
}

/** HTTP status with which the API server refuses a request; undefined when it accepts it. */
export async function refusal(request) {
  try {
    await request;
    return undefined;
  } catch (error) {
    return error.code;
  }
}

export const PAUSE = { containers: [{ name: 'pause', image: 'registry.k8s.io/pause:3.10.2' }] };
