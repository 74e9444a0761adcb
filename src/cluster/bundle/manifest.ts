import { createHash } from 'node:crypto';

import { z } from 'zod';

import { MkCiError, messageOf } from '../../errors.js';
import { BUNDLE_PARTS } from './catalogue.js';
import type { BundlePart } from './bundle.js';

/** `manifest.json` of a bundle: what is in it and where each file came from. Pure; reading and writing are elsewhere. */

export const MANIFEST_FILE = 'manifest.json';
/** A manifest of some dozen files is a few kilobytes; whatever is larger is not one. */
export const MAX_MANIFEST_BYTES = 1024 * 1024;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'not a sha256 in hexadecimal');
/** Below the bundle folder, with `/`; never absolute and never upward, whoever wrote the manifest. */
const relativePath = z
  .string()
  .max(200)
  .regex(/^(?!\.{1,2}(?:\/|$))[\w.+-]+(?:\/(?!\.{1,2}(?:\/|$))[\w.+-]+)*$/, 'not a plain relative path');

/** Where a file came from. */
const sourceSchema = z.strictObject({
  /** `go`: built from a module; `release`: downloaded from the project; `mirror`, `folder`: given with `--from`. */
  kind: z.enum(['go', 'release', 'mirror', 'folder']),
  /** `module@version`, address or path. Holds no credentials. */
  location: z.string().min(1),
});

const fileSchema = z.strictObject({
  /** Program name; unique in a bundle. */
  name: z.string().regex(/^[\w.+-]+$/),
  path: relativePath,
  part: z.string().min(1),
  component: z.string().min(1),
  /** Of the component, with `v`. */
  version: z.string().min(1),
  sha256,
  sizeBytes: z.number().int().nonnegative(),
  /** Permission bits in octal, such as `0755`. */
  mode: z.string().regex(/^0[0-7]{3}$/),
  /** Modification time given to the file, ISO 8601: a cheap sign that nobody wrote to it. */
  modifiedAt: z.iso.datetime(),
  source: sourceSchema,
  /** SPDX identifier. */
  licence: z.string().min(1),
});

export const manifestSchema = z
  .strictObject({
    format: z.literal('mk-ci-bundle/1'),
    kubernetesVersion: z.string().regex(/^v1\.\d+\.\d+(?:-\S+)?$/),
    platform: z.strictObject({ os: z.enum(['linux', 'darwin']), arch: z.enum(['amd64', 'arm64']) }),
    /** Complete parts. */
    parts: z.array(z.string().min(1)).min(1),
    /** See {@link digestOf}. */
    digest: sha256,
    createdAt: z.iso.datetime(),
    /** mk-ci that made it. */
    madeBy: z.string().min(1),
    files: z.array(fileSchema).min(1),
  })
  .superRefine((manifest, context) => {
    for (const key of ['name', 'path'] as const) {
      const seen = new Set<string>();
      for (const file of manifest.files) {
        if (seen.has(file[key])) context.addIssue({ code: 'custom', message: `${key} ${file[key]} twice` });
        seen.add(file[key]);
      }
    }
    if (digestOf(manifest.files) !== manifest.digest) {
      context.addIssue({ code: 'custom', path: ['digest'], message: 'does not fit the files listed' });
    }
  });

export type BundleManifest = z.infer<typeof manifestSchema>;
export type ManifestFile = z.infer<typeof fileSchema>;
export type FileSource = z.infer<typeof sourceSchema>;

/**
 * Identity of a bundle's content: sha256 over `path`, `mode` and `sha256` of its files in the order of their paths.
 * Bundles with the same files have the same digest, wherever and whenever they were made.
 */
export function digestOf(files: readonly Pick<ManifestFile, 'path' | 'mode' | 'sha256'>[]): string {
  const lines = files.map((file) => `${file.path}\0${file.mode}\0${file.sha256}\n`).sort();
  return createHash('sha256').update(lines.join('')).digest('hex');
}

/**
 * @param origin path or address, for the message
 * @throws {MkCiError} `BND_CHECKSUM` when the text is not a manifest or contradicts itself
 */
export function parseManifest(text: string, origin: string): BundleManifest {
  let data: unknown;
  try {
    if (text.length > MAX_MANIFEST_BYTES) throw new RangeError(`longer than ${MAX_MANIFEST_BYTES} bytes`);
    data = JSON.parse(text);
  } catch (error) {
    throw new MkCiError('BND_CHECKSUM', { message: `${origin}: ${messageOf(error)}`, cause: error });
  }
  const result = manifestSchema.safeParse(data);
  if (!result.success) {
    throw new MkCiError('BND_CHECKSUM', {
      message: `${origin} is not a manifest of a bundle`,
      details: {
        problems: result.error.issues.map(
          ({ path, message }) => `${path.map(String).join('.') || 'manifest'}: ${message}`,
        ),
      },
    });
  }
  return result.data;
}

/** Inverse of {@link parseManifest}. */
export function formatManifest(manifest: BundleManifest): string {
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

/** Whether all of the parts are in the bundle. */
export function holdsParts(manifest: Pick<BundleManifest, 'parts'>, parts: readonly BundlePart[]): boolean {
  return parts.every((part) => manifest.parts.includes(part));
}

/** True for a part that this version of mk-ci knows; a bundle made by a newer one may hold more. */
export function isKnownPart(part: string): part is BundlePart {
  return BUNDLE_PARTS.some((known) => known === part);
}
