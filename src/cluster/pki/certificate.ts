import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';

import {
  addressBytes,
  bitString,
  boolean,
  explicit,
  implicit,
  integer,
  namedBits,
  octetString,
  oid,
  sequence,
  set,
  time,
  utf8String,
} from './der.js';

/**
 * X.509 v3 certificates with P-256 keys (RFC 5280, RFC 5480), by `node:crypto` and a small DER encoder.
 *
 * The library that would do it (`@peculiar/x509`) takes 130–240 ms to load and 15 ms for the first certificate, on the
 * path of every cluster start; this takes a few milliseconds for all of a cluster's certificates.
 */

export interface CertificateRequest {
  readonly commonName: string;
  /** Kubernetes reads organisations as groups. */
  readonly organizations?: readonly string[];
  readonly usage: 'ca' | 'server' | 'client';
  readonly dnsNames?: readonly string[];
  readonly addresses?: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export interface IssuedCertificate extends KeyPair {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly subject: Uint8Array;
}

/** Signs with the issuer's key, or with its own when there is no issuer. */
export function issueCertificate(request: CertificateRequest, issuer?: IssuedCertificate): IssuedCertificate {
  const keys = generateKeyPair();
  const subject = distinguishedName(request.commonName, request.organizations ?? []);
  const signer = issuer ?? { ...keys, subject };
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))), // v3
    integer(randomSerial()),
    ECDSA_WITH_SHA256,
    signer.subject,
    sequence(time(request.notBefore), time(request.notAfter)),
    subject,
    spki(keys.publicKey),
    explicit(3, sequence(...extensions(request, keys.publicKey, signer.publicKey))),
  );
  const signature = sign('sha256', body, { key: signer.privateKey, dsaEncoding: 'der' });
  return {
    ...keys,
    subject,
    certificatePem: pem('CERTIFICATE', sequence(body, ECDSA_WITH_SHA256, bitString(signature))),
    privateKeyPem: privateKeyPem(keys.privateKey),
  };
}

export function generateKeyPair(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
}

/** SEC 1 form (`EC PRIVATE KEY`), which every Kubernetes component reads. */
export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: 'sec1', format: 'pem' }).toString();
}

export function publicKeyPem(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString();
}

const ECDSA_WITH_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));

const KEY_USAGE = { digitalSignature: 0, keyCertSign: 5, cRLSign: 6 } as const;

function extensions(request: CertificateRequest, own: KeyObject, signer: KeyObject): Buffer[] {
  const { usage, dnsNames = [], addresses = [] } = request;
  const isCa = usage === 'ca';
  const names = [
    ...dnsNames.map((name) => implicit(2, Buffer.from(name, 'ascii'))),
    ...addresses.map((address) => implicit(7, addressBytes(address))),
  ];
  return [
    extension('2.5.29.19', sequence(...(isCa ? [boolean(true)] : [])), 'critical'),
    extension(
      '2.5.29.15',
      namedBits(
        isCa ? [KEY_USAGE.digitalSignature, KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign] : [KEY_USAGE.digitalSignature],
      ),
      'critical',
    ),
    ...(isCa ? [] : [extension('2.5.29.37', sequence(oid(`1.3.6.1.5.5.7.3.${usage === 'server' ? 1 : 2}`)))]),
    extension('2.5.29.14', octetString(keyIdentifier(own))),
    extension('2.5.29.35', sequence(implicit(0, keyIdentifier(signer)))),
    ...(names.length === 0 ? [] : [extension('2.5.29.17', sequence(...names))]),
  ];
}

function extension(id: string, value: Uint8Array, criticality?: 'critical'): Buffer {
  return sequence(oid(id), ...(criticality === undefined ? [] : [boolean(true)]), octetString(value));
}

/** Organisations in front of the common name, each in a set of its own, as Go's `pkix.Name` writes them. */
function distinguishedName(commonName: string, organizations: readonly string[]): Buffer {
  return sequence(
    ...organizations.map((name) => set(sequence(oid('2.5.4.10'), utf8String(name)))),
    set(sequence(oid('2.5.4.3'), utf8String(commonName))),
  );
}

function spki(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}

/** SHA-1 over the public point (RFC 5280 section 4.2.1.2, method 1): the last 65 bytes of a P-256 SPKI. */
function keyIdentifier(key: KeyObject): Buffer {
  return createHash('sha1').update(spki(key).subarray(-65)).digest();
}

/** 126 random bits, never zero, so that the encoding is positive and at most 16 bytes. */
function randomSerial(): Buffer {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x01, 0);
  return bytes;
}

function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
