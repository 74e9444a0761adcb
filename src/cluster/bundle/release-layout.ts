import { z } from 'zod';

import {
  COMPONENTS,
  fillTemplate,
  type Platform,
  type ProgramDefinition,
  type PublishedSum,
  type ReleasePath,
  type ReleaseServer,
} from './catalogue.js';

/** Where the files of a release lie, and how published sums are written. Pure. */

/** Addresses without a `/` at the end. */
export type ReleaseServers = Readonly<Record<ReleaseServer, string>>;

export const PUBLIC_RELEASE_SERVERS: ReleaseServers = {
  kubernetes: 'https://dl.k8s.io/release',
  github: 'https://github.com',
  'github-api': 'https://api.github.com',
};

/** One file to download for a program. */
export interface ReleaseFile {
  readonly url: string;
  readonly sumUrl: string;
  readonly sumFormat: PublishedSum['format'];
  /** Last element of the file's path, as sums name it. */
  readonly fileName: string;
  /** Path inside the `.tar.gz`; absent when the file is the program itself. */
  readonly member?: string;
}

/** @returns `undefined` when the project publishes no programs */
export function releaseFileOf(
  program: ProgramDefinition,
  version: string,
  platform: Platform,
  servers: ReleaseServers,
): ReleaseFile | undefined {
  const { release } = COMPONENTS[program.component];
  if (release === undefined) return undefined;
  const number = version.replace(/^v/, '');
  const values = { version, number, os: platform.os, arch: platform.arch, program: program.name };
  const address = ({ server, path }: ReleasePath): string => `${servers[server]}/${fillTemplate(path, values)}`;
  const url = address(release.file);
  return {
    url,
    sumUrl: address(release.sum),
    sumFormat: release.sum.format,
    fileName: url.slice(url.lastIndexOf('/') + 1),
    ...(release.member === undefined ? {} : { member: fillTemplate(release.member, values) }),
  };
}

/** The addresses under which a mirror of the release servers has what they have. */
export function mirrorServers(root: string): ReleaseServers[] {
  const base = root.replace(/\/+$/, '');
  return [
    { kubernetes: `${base}/release`, github: base, 'github-api': base },
    { kubernetes: base, github: base, 'github-api': base },
  ];
}

const githubRelease = z.object({ assets: z.array(z.object({ name: z.string(), digest: z.string().nullish() })) });

/**
 * The sha256 that a published text gives for a file.
 *
 * @returns 64 hexadecimal digits in lower case, or `undefined` when the text does not tell
 */
export function findSum(text: string, format: PublishedSum['format'], fileName: string): string | undefined {
  switch (format) {
    case 'bare':
      return /^\s*([0-9a-f]{64})(?:\s|$)/i.exec(text)?.[1]?.toLowerCase();
    case 'sums-file':
      return parseSums(text).get(fileName);
    case 'github-digests': {
      const release = githubRelease.safeParse(parseJson(text));
      const digest = release.data?.assets.find(({ name }) => name === fileName)?.digest;
      return digest == null ? undefined : /^sha256:([0-9a-f]{64})$/i.exec(digest)?.[1]?.toLowerCase();
    }
  }
}

/**
 * Output of `sha256sum`: sum, space, ` ` or `*`, name. Names lose a leading `./`; the first of two lines for one name
 * counts. Lines that are something else are left out.
 *
 * @see {@link https://www.gnu.org/software/coreutils/manual/html_node/cksum-output-modes.html}
 */
export function parseSums(text: string): Map<string, string> {
  const sums = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const match = /^([0-9a-f]{64}) [ *](?:\.\/)?(.+)$/i.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined && !sums.has(match[2])) {
      sums.set(match[2], match[1].toLowerCase());
    }
  }
  return sums;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
