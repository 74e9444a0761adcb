import { randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { hostErrorOf } from '../errors.js';
import { makeFolder } from '../files.js';
import {
  generateKeyPair,
  issueCertificate,
  privateKeyPem,
  publicKeyPem,
  type CertificateRequest,
  type IssuedCertificate,
} from './pki/certificate.js';

/** Paths of a PEM certificate and its PEM key (mode 0600). */
export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/** Files of one cluster's own certificate authority, all in one folder, named as kubeadm names them. */
export interface ClusterPki {
  readonly folder: string;
  /** Signs servers and clients. */
  readonly ca: CertificateFiles;
  /** Signs the proxy client that the API server shows to aggregated API servers; separate, so that no client passes for it. */
  readonly frontProxyCa: CertificateFiles;
  readonly frontProxyClient: CertificateFiles;
  /**
   * For the API server, and for the other components on the same addresses: one that is given no certificate makes an RSA
   * pair for itself at every start, which costs it part of a second.
   */
  readonly serving: CertificateFiles;
  /** Signs and checks service account tokens; there is no certificate. */
  readonly serviceAccount: { readonly privateKey: string; readonly publicKey: string };
  /** Group `system:masters`. */
  readonly admin: CertificateFiles;
  /** User `system:kube-controller-manager`. */
  readonly controllerManager: CertificateFiles;
  /** User `system:kube-scheduler`. */
  readonly scheduler: CertificateFiles;
  /** User `kwok` in group `system:masters`: it plays every kubelet. */
  readonly kwok: CertificateFiles;
}

export interface ClusterPkiOptions {
  /** Where the files go; parents are made. A folder that is there is replaced as a whole. */
  readonly folder: string;
  /** DNS names of the serving certificate. */
  readonly serverNames: readonly string[];
  /** IPv4 and IPv6 addresses of the serving certificate. */
  readonly serverAddresses: readonly string[];
  readonly now: Date;
}

/** A host whose clock is set back by a wrong time zone or a step still takes the certificates. */
const BACKDATED_MS = 24 * 3_600_000;
const LIFE_YEARS = 10;

/** Where the files of a cluster's PKI lie, whether they exist or not. */
export function clusterPkiFiles(folder: string): ClusterPki {
  const files = (name: string): CertificateFiles => ({
    certificate: join(folder, `${name}.crt`),
    key: join(folder, `${name}.key`),
  });
  return {
    folder,
    ca: files('ca'),
    frontProxyCa: files('front-proxy-ca'),
    frontProxyClient: files('front-proxy-client'),
    serving: files('apiserver'),
    serviceAccount: { privateKey: join(folder, 'sa.key'), publicKey: join(folder, 'sa.pub') },
    admin: files('admin'),
    controllerManager: files('controller-manager'),
    scheduler: files('scheduler'),
    kwok: files('kwok'),
  };
}

/**
 * Makes all keys and certificates of a cluster: P-256, valid from an hour ago (clocks of guests differ) for ten years
 * (templates are cloned long after they were made).
 *
 * The folder appears whole or not at all.
 *
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`
 * @throws {RangeError} for a server address that is none
 */
export async function createClusterPki(options: ClusterPkiOptions): Promise<ClusterPki> {
  const { folder, now } = options;
  const contents = makeContents(options, {
    notBefore: new Date(now.getTime() - BACKDATED_MS),
    notAfter: new Date(Date.UTC(now.getUTCFullYear() + LIFE_YEARS, now.getUTCMonth(), now.getUTCDate())),
  });
  const temporary = `${folder}.${randomBytes(4).toString('hex')}.tmp`;
  const made = clusterPkiFiles(temporary);
  try {
    await makeFolder(temporary, { mode: 0o700 });
    await Promise.all(contents(made).map(([path, text, mode]) => writeFile(path, text, { mode })));
    await rm(folder, { recursive: true, force: true });
    await rename(temporary, folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw hostErrorOf(error, folder) ?? error;
  }
  return clusterPkiFiles(folder);
}

type FileContent = readonly [path: string, text: string, mode: number];

function makeContents(
  { serverNames, serverAddresses }: ClusterPkiOptions,
  life: Pick<CertificateRequest, 'notBefore' | 'notAfter'>,
): (files: ClusterPki) => FileContent[] {
  const ca = issueCertificate({ commonName: 'mk-ci', usage: 'ca', ...life });
  const frontProxyCa = issueCertificate({ commonName: 'mk-ci-front-proxy', usage: 'ca', ...life });
  const client = (commonName: string, ...organizations: string[]): IssuedCertificate =>
    issueCertificate({ commonName, organizations, usage: 'client', ...life }, ca);
  const frontProxyClient = issueCertificate(
    { commonName: 'front-proxy-client', usage: 'client', ...life },
    frontProxyCa,
  );
  const serving = issueCertificate(
    { commonName: 'kube-apiserver', usage: 'server', dnsNames: serverNames, addresses: serverAddresses, ...life },
    ca,
  );
  const serviceAccount = generateKeyPair();
  const admin = client('kubernetes-admin', 'system:masters');
  const controllerManager = client('system:kube-controller-manager');
  const scheduler = client('system:kube-scheduler');
  const kwok = client('kwok', 'system:masters');
  return (files) => [
    ...pair(files.ca, ca),
    ...pair(files.frontProxyCa, frontProxyCa),
    ...pair(files.frontProxyClient, frontProxyClient),
    ...pair(files.serving, serving),
    [files.serviceAccount.privateKey, privateKeyPem(serviceAccount.privateKey), 0o600],
    [files.serviceAccount.publicKey, publicKeyPem(serviceAccount.publicKey), 0o644],
    ...pair(files.admin, admin),
    ...pair(files.controllerManager, controllerManager),
    ...pair(files.scheduler, scheduler),
    ...pair(files.kwok, kwok),
  ];
}

function pair(files: CertificateFiles, issued: IssuedCertificate): FileContent[] {
  return [
    [files.certificate, issued.certificatePem, 0o644],
    [files.key, issued.privateKeyPem, 0o600],
  ];
}
