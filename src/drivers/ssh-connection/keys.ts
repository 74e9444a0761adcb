import { generateKeyPair as generate, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

export interface KeyPair {
  /** OpenSSH's format, without a password. */
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA… comment`. */
  readonly publicKey: string;
}

const TYPE = 'ssh-ed25519';

/** A new pair of ed25519 keys. */
export async function generateKeyPair(comment: string): Promise<KeyPair> {
  const { privateKey } = await promisify(generate)('ed25519');
  const { d, x } = privateKey.export({ format: 'jwk' });
  if (d === undefined || x === undefined) throw new TypeError('a key without its numbers');
  return renderKeyPair({
    seed: Buffer.from(d, 'base64url'),
    publicKey: Buffer.from(x, 'base64url'),
    check: randomBytes(4),
    comment,
  });
}

/**
 * The files of a pair. Not left to ssh2, which cuts zeros off the front of a public key: one in 256 of its pairs can not be read.
 * Pure.
 *
 * @param pair numbers of 32 bytes each; `check` is any 4 bytes
 * @see {@link https://github.com/mscdex/ssh2/issues/1513}
 * @see {@link https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key} for the format
 */
export function renderKeyPair(pair: {
  readonly seed: Buffer;
  readonly publicKey: Buffer;
  readonly check: Buffer;
  readonly comment: string;
}): KeyPair {
  const { seed, publicKey, check, comment } = pair;
  const wire = Buffer.concat([text(TYPE), text(publicKey)]);
  const secret = Buffer.concat([
    ...[check, check, wire, text(Buffer.concat([seed, publicKey])), text(comment)], // twice the same: it shows a wrong password
  ]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, index) => index + 1));
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    ...[text('none'), text('none'), text('')], // cipher, derivation of its key, options of that
    ...[number(1), text(wire), text(Buffer.concat([secret, padding]))],
  ]);
  const lines = file.toString('base64').match(/.{1,70}/g) ?? [];
  return {
    privateKey: ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n'),
    publicKey: `${TYPE} ${wire.toString('base64')} ${comment}`,
  };
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** With its length before it. */
function text(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([number(bytes.length), bytes]);
}

/** The key of a `type base64 comment` line as it goes over the wire; `undefined` for anything else. */
export function wireFormOf(publicKey: string): Buffer | undefined {
  const [type = '', base64 = ''] = publicKey.trim().split(/\s+/);
  const blob = Buffer.from(base64, 'base64');
  const isKey = blob.length > 4 + type.length && blob.toString('latin1', 4, 4 + blob.readUInt32BE(0)) === type;
  return isKey ? blob : undefined;
}

export interface PrivateKeyFacts {
  /** Whether it needs a password to be read. */
  readonly isEncrypted: boolean;
  /** As it goes over the wire; only OpenSSH's own format tells it without the password. */
  readonly publicKey?: Buffer;
}

/** What the file of a private key says without its password. Pure. @see {@link https://www.rfc-editor.org/rfc/rfc1421#section-4.6.1.1} for older ones */
export function describePrivateKey(file: string): PrivateKeyFacts {
  const [, body] = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]*?)-----END/.exec(file) ?? [];
  if (body === undefined) {
    return { isEncrypted: /^Proc-Type: 4,ENCRYPTED|BEGIN ENCRYPTED PRIVATE KEY/m.test(file) };
  }
  const bytes = Buffer.from(body, 'base64');
  let at = 'openssh-key-v1\0'.length;
  const next = (): Buffer => {
    const length = at + 4 <= bytes.length ? bytes.readUInt32BE(at) : 0;
    const read = bytes.subarray(at + 4, at + 4 + length);
    at += 4 + length;
    return read;
  };
  const [cipher, ,] = [next(), next(), next()];
  at += 4; // how many keys there are
  const publicKey = next();
  return { isEncrypted: cipher.toString('latin1') !== 'none', ...(publicKey.length > 0 ? { publicKey } : {}) };
}
