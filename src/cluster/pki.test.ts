import { X509Certificate, createPrivateKey, createPublicKey, createVerify, createSign } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { createClusterPki, type CertificateFiles, type ClusterPki } from './pki.js';
import { issueCertificate } from './pki/certificate.js';
import { addressBytes, integer, namedBits, oid, time, tlv } from './pki/der.js';

const NOW = new Date('2026-08-24T10:30:00Z');

describe('createClusterPki', () => {
  let temporary: TemporaryFolder;
  let pki: ClusterPki;

  beforeAll(async () => {
    temporary = await createTemporaryFolder();
    pki = await createClusterPki({
      folder: join(temporary.path, 'pki'),
      serverNames: ['localhost', 'kubernetes.default.svc'],
      serverAddresses: ['127.0.0.1', '10.96.0.1', 'fd00::1:a'],
      now: NOW,
    });
  });
  afterAll(async () => {
    await temporary[Symbol.asyncDispose]();
  });

  const certificate = (files: CertificateFiles): X509Certificate =>
    new X509Certificate(readFileSync(files.certificate));

  it('signs every certificate with the right authority', () => {
    const ca = certificate(pki.ca);
    const frontProxyCa = certificate(pki.frontProxyCa);
    for (const files of [pki.serving, pki.admin, pki.controllerManager, pki.scheduler, pki.kwok]) {
      expect(certificate(files).verify(ca.publicKey)).toBe(true);
      expect(certificate(files).checkIssued(ca)).toBe(true);
      expect(certificate(files).verify(frontProxyCa.publicKey)).toBe(false);
      expect(certificate(files).ca).toBe(false);
    }
    expect(certificate(pki.frontProxyClient).verify(frontProxyCa.publicKey)).toBe(true);
    expect(ca.ca && frontProxyCa.ca && ca.checkIssued(ca)).toBe(true);
  });

  it('names users and groups as Kubernetes expects them', () => {
    expect(certificate(pki.admin).subject).toBe('O=system:masters\nCN=kubernetes-admin');
    expect(certificate(pki.kwok).subject).toBe('O=system:masters\nCN=kwok');
    expect(certificate(pki.controllerManager).subject).toBe('CN=system:kube-controller-manager');
    expect(certificate(pki.scheduler).subject).toBe('CN=system:kube-scheduler');
  });

  it('writes the names and addresses asked for into the serving certificate', () => {
    const serving = certificate(pki.serving);
    expect(serving.subjectAltName).toBe(
      'DNS:localhost, DNS:kubernetes.default.svc, IP Address:127.0.0.1, IP Address:10.96.0.1, IP Address:FD00:0:0:0:0:0:1:A',
    );
    expect(serving.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(serving.checkIP('127.0.0.2')).toBeUndefined();
    expect(serving.checkHost('localhost')).toBe('localhost');
  });

  it('separates servers from clients by extended key usage', () => {
    expect(certificate(pki.serving).keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(certificate(pki.admin).keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  });

  it('is valid from a day ago for ten years', () => {
    const { validFrom, validTo } = certificate(pki.serving);
    expect(new Date(validFrom).toISOString()).toBe('2026-08-23T10:30:00.000Z');
    expect(new Date(validTo).toISOString()).toBe('2036-08-24T00:00:00.000Z');
  });

  it('keeps every key to its owner and gives each certificate the key beside it', () => {
    for (const name of readdirSync(pki.folder)) {
      const mode = statSync(join(pki.folder, name)).mode & 0o777;
      expect([name, mode]).toEqual([name, name.endsWith('.key') ? 0o600 : 0o644]);
    }
    for (const files of [pki.ca, pki.frontProxyCa, pki.frontProxyClient, pki.serving, pki.admin, pki.kwok]) {
      expect(certificate(files).checkPrivateKey(createPrivateKey(readFileSync(files.key)))).toBe(true);
    }
  });

  it('makes a service account pair whose halves belong together', () => {
    const signature = createSign('sha256').update('token').sign(readFileSync(pki.serviceAccount.privateKey));
    const verify = createVerify('sha256').update('token');
    expect(verify.verify(createPublicKey(readFileSync(pki.serviceAccount.publicKey)), signature)).toBe(true);
  });

  it('carries a mutual TLS handshake on loopback', async () => {
    const server = createServer({
      cert: readFileSync(pki.serving.certificate),
      key: readFileSync(pki.serving.key),
      ca: readFileSync(pki.ca.certificate),
      requestCert: true,
      rejectUnauthorized: true,
    });
    const seen = new Promise<string>((resolve) => {
      server.on('secureConnection', (socket) => {
        socket.on('error', () => undefined);
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const client = connect({
      host: '127.0.0.1',
      port,
      ca: readFileSync(pki.ca.certificate),
      cert: readFileSync(pki.admin.certificate),
      key: readFileSync(pki.admin.key),
    });
    await new Promise((resolve, reject) => client.once('secureConnect', resolve).once('error', reject));
    expect(client.authorized).toBe(true);
    expect(await seen).toBe('kubernetes-admin');
    client.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  it('replaces a half-made folder as a whole', async () => {
    const folder = join(temporary.path, 'again');
    await mkdir(folder);
    await writeFile(join(folder, 'old.key'), 'x');
    await createClusterPki({ folder, serverNames: [], serverAddresses: [], now: NOW });
    expect(readdirSync(folder)).not.toContain('old.key');
    expect(readdirSync(folder)).toHaveLength(18);
    expect(readdirSync(temporary.path).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('leaves nothing behind when the folder can not be made', async () => {
    await writeFile(join(temporary.path, 'file'), '');
    await expect(
      createClusterPki({ folder: join(temporary.path, 'file', 'pki'), serverNames: [], serverAddresses: [], now: NOW }),
    ).rejects.toThrow(/ENOTDIR/);
  });
});

describe('DER', () => {
  it('encodes lengths in short and long form', () => {
    expect(tlv(4, Buffer.alloc(127)).subarray(0, 2)).toEqual(Buffer.from([4, 127]));
    expect(tlv(4, Buffer.alloc(128)).subarray(0, 3)).toEqual(Buffer.from([4, 0x81, 128]));
    expect(tlv(4, Buffer.alloc(70_000)).subarray(0, 5)).toEqual(Buffer.from([4, 0x83, 1, 0x11, 0x70]));
  });

  it('encodes integers in their shortest positive form', () => {
    expect(integer(Buffer.from([]))).toEqual(Buffer.from([2, 1, 0]));
    expect(integer(Buffer.from([0, 0, 5]))).toEqual(Buffer.from([2, 1, 5]));
    expect(integer(Buffer.from([0x80]))).toEqual(Buffer.from([2, 2, 0, 0x80]));
  });

  it('encodes named bits and object identifiers as the standard shows them', () => {
    expect(namedBits([0, 5, 6])).toEqual(Buffer.from([3, 2, 1, 0x86]));
    expect(namedBits([0])).toEqual(Buffer.from([3, 2, 7, 0x80]));
    expect(oid('1.2.840.113549')).toEqual(Buffer.from([6, 6, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]));
  });

  it('changes the form of a time in 2050', () => {
    expect(time(new Date('2049-12-31T23:59:59.999Z')).toString('latin1', 2)).toBe('491231235959Z');
    expect(time(new Date('2050-01-01T00:00:00Z')).toString('latin1', 2)).toBe('20500101000000Z');
  });

  it('refuses what is not an address', () => {
    for (const text of ['localhost', '::ffff:1.2.3.4', 'fe80::1%eth0', '1.2.3', '']) {
      expect(() => addressBytes(text)).toThrow(RangeError);
    }
  });

  it('lets node read back any name, group and address', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z0-9:-]{1,60}$/),
        fc.array(fc.stringMatching(/^[a-z0-9:]{1,40}$/), { maxLength: 3 }),
        fc.array(fc.oneof(fc.ipV4(), fc.stringMatching(/^[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}$/)), { maxLength: 4 }),
        (commonName, organizations, addresses) => {
          const issued = issueCertificate({
            commonName,
            organizations,
            addresses,
            usage: 'server',
            notBefore: NOW,
            notAfter: new Date('2060-01-01T00:00:00Z'),
          });
          const read = new X509Certificate(issued.certificatePem);
          expect(read.subject.split('\n')).toEqual([...organizations.map((o) => `O=${o}`), `CN=${commonName}`]);
          expect(read.verify(issued.publicKey)).toBe(true);
          for (const address of addresses) expect(read.checkIP(address)).toBeDefined();
          expect(BigInt(`0x${read.serialNumber}`) > 0n).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });
});
