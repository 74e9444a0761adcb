import { createHash } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

import type { Argv, Exec, ExecResult } from '../../../exec.js';
import { programsOf, BUNDLE_PARTS, COMPONENTS, type Platform } from '../catalogue.js';
import { goProgramName } from '../go-mod.js';
import { releaseFileOf, type ReleaseServers } from '../release-layout.js';

/** Things for tests of this folder and of `integration/`: a release server on loopback with faults, a scripted `go`. */

export const TEST_PLATFORM: Platform = { os: 'linux', arch: 'amd64' };

export function sha256Of(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** What the server does wrong, once for each entry, in order; after that it behaves. */
export type Fault =
  | { readonly kind: 'status'; readonly status: number }
  /** Sends so many bytes of the answer and breaks the connection. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Answers a range request with the whole file. */
  | { readonly kind: 'ignore-range' }
  /** Sends the range that was asked for, shifted by so many bytes. */
  | { readonly kind: 'wrong-range'; readonly shift: number }
  /** Says nothing until the client gives up. */
  | { readonly kind: 'silent' }
  /** Sends half and then nothing more, with the connection open. */
  | { readonly kind: 'stall' };

export interface LoopbackServer extends AsyncDisposable {
  readonly origin: string;
  readonly files: Map<string, Buffer>;
  readonly faults: Map<string, Fault[]>;
  /** `path` and `range` of each request. */
  readonly requests: { readonly path: string; readonly range: string | undefined }[];
  /** Whether answers carry an ETag; without one nothing can be continued. */
  sendsValidators: boolean;
}

export async function startLoopbackServer(files = new Map<string, Buffer>()): Promise<LoopbackServer> {
  const faults = new Map<string, Fault[]>();
  const requests: LoopbackServer['requests'] = [];
  const server = createServer((request, response) => {
    answer(request, response);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const rig: LoopbackServer = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    faults,
    requests,
    sendsValidators: true,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? '/').slice(1);
    const range = request.headers.range;
    requests.push({ path, range });
    const fault = faults.get(path)?.shift();
    const content = files.get(path);
    if (fault?.kind === 'silent') return;
    if (fault?.kind === 'status' || content === undefined) {
      response.writeHead(fault?.kind === 'status' ? fault.status : 404).end();
      return;
    }
    const etag = `"${sha256Of(content).slice(0, 12)}"`;
    const asked = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    const continues =
      asked > 0 && fault?.kind !== 'ignore-range' && rig.sendsValidators && request.headers['if-range'] === etag;
    if (continues && asked >= content.length) {
      response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
      return;
    }
    const start = continues ? asked + (fault?.kind === 'wrong-range' ? fault.shift : 0) : 0;
    const body = content.subarray(start);
    response.writeHead(continues ? 206 : 200, {
      'content-length': body.length,
      ...(rig.sendsValidators ? { etag } : {}),
      ...(continues ? { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` } : {}),
    });
    if (fault?.kind === 'cut') {
      // Time for the client to read what was sent: a reset may throw it away.
      response.write(body.subarray(0, fault.afterBytes), () => setTimeout(() => response.destroy(), 100));
    } else if (fault?.kind === 'stall') {
      response.write(body.subarray(0, Math.floor(body.length / 2)));
    } else {
      response.end(body);
    }
  }
  return rig;
}

/** A ustar header and content for each file, and the two empty blocks at the end. */
export function makeTar(
  files: readonly { readonly name: string; readonly content: Buffer; readonly type?: string }[],
): Buffer {
  const blocks = files.flatMap(({ name, content, type = '0' }) => {
    const header = Buffer.alloc(512);
    header.write(name.length > 100 ? name.slice(name.indexOf('/') + 1) : name, 0, 100, 'utf8');
    if (name.length > 100) header.write(name.slice(0, name.indexOf('/')), 345, 155, 'utf8');
    header.write('0000755\0', 100);
    header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('        ', 148);
    header.write(type, 156);
    header.write('ustar\u000000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** Content of a fake program: a script that prints its version as the real one does. */
export function fakeProgram(name: string, version: string): Buffer {
  const words: Record<string, string> = {
    kubectl: `Client Version: ${version}`,
    etcd: `etcd Version: ${version.slice(1)}`,
    kwok: `kwok version ${version} go1.26.8 (linux/amd64)`,
    kwokctl: `kwokctl version ${version} go1.26.8 (linux/amd64)`,
  };
  return Buffer.from(`#!/bin/sh\necho '${words[name] ?? `Kubernetes ${version}`}'\n${'#'.repeat(4000)}\n`);
}

/** All files of a release of every component, by path, as the public servers have them. */
export function releaseFiles(kubernetesVersion: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const digests: { name: string; digest: string }[] = [];
  let githubApi = '';
  for (const program of programsOf(BUNDLE_PARTS)) {
    const version = COMPONENTS[program.component].versionFor(kubernetesVersion);
    const file = releaseFileOf(program, version, TEST_PLATFORM, releaseServersAt(''));
    if (file === undefined) continue;
    const content = fakeProgram(program.name, version);
    const packed =
      file.member === undefined
        ? content
        : gzipSync(
            makeTar([
              { name: file.member, content },
              { name: 'README.md', content: Buffer.from('read me') },
            ]),
          );
    files.set(file.url.slice(1), packed);
    if (file.sumFormat === 'github-digests') {
      digests.push({ name: file.fileName, digest: `sha256:${sha256Of(packed)}` });
      githubApi = file.sumUrl.slice(1);
    } else {
      const line = file.sumFormat === 'bare' ? sha256Of(packed) : `${sha256Of(packed)}  ${file.fileName}\n`;
      files.set(file.sumUrl.slice(1), Buffer.from(line));
    }
  }
  files.set(githubApi, Buffer.from(JSON.stringify({ tag_name: 'v0.8.0', assets: digests })));
  return files;
}

/** The three servers of releases at one address. */
export function releaseServersAt(origin: string): ReleaseServers {
  return { kubernetes: `${origin}/release`, github: origin, 'github-api': origin };
}

/** Writes files below a folder, executable. */
export async function writeTree(folder: string, files: ReadonlyMap<string, Buffer>): Promise<void> {
  for (const [path, content] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
    await chmod(join(folder, path), 0o755);
  }
}

export interface FakeGoOptions {
  /** Where the fake module cache lies. */
  readonly folder: string;
  /** @default 'go1.26.8' */
  readonly goVersion?: string;
  /** Ends a command: given its argv, gives what it printed on standard error and its exit code. */
  readonly fail?: (argv: Argv) => { readonly stderr: string; readonly exitCode: number } | undefined;
  /** Waits before `go build` ends. */
  readonly duringBuild?: (signal: AbortSignal | undefined) => Promise<void>;
  /** Receives every call. */
  readonly calls?: { readonly argv: Argv; readonly env: Readonly<Record<string, string | undefined>> }[];
}

/** An `Exec` that knows `go` as far as building needs it, and fails with a list of what it knows for anything else. */
export function createFakeGo(options: FakeGoOptions): Exec {
  const { folder, goVersion = 'go1.26.8', fail, calls, duringBuild } = options;
  const fake: Exec = async (argv, execOptions = {}) => {
    execOptions.signal?.throwIfAborted();
    calls?.push({ argv, env: execOptions.env ?? {} });
    const failure = fail?.(argv);
    if (failure !== undefined) return ended(argv, { stdout: '', ...failure });
    if (argv[0] !== 'go')
      throw new Error(`FakeGo knows go env, go mod download, go list, go build; not ${argv.join(' ')}`);
    switch (argv[1]) {
      case 'env':
        return ended(argv, { stdout: JSON.stringify({ GOVERSION: goVersion, GOFLAGS: '' }) });
      case 'mod': {
        const module = argv[4] ?? '';
        const dir = join(folder, module.replaceAll('/', '_'));
        const name = module.slice(0, module.indexOf('@'));
        await writeTree(
          dir,
          new Map([
            ['go.mod', Buffer.from(`module ${name}\n\ngo 1.26.0\n`)],
            ['go.sum', Buffer.from('')],
          ]),
        );
        return ended(argv, { stdout: JSON.stringify({ Dir: dir, GoMod: join(dir, 'go.mod') }) });
      }
      case 'list':
        return ended(argv, { stdout: 'fmt\nos\n' });
      case 'build': {
        await duringBuild?.(execOptions.signal);
        execOptions.signal?.throwIfAborted();
        const out = argv[argv.indexOf('-o') + 1] ?? '';
        for (const program of programsOf(BUNDLE_PARTS)) {
          if (!argv.includes(program.goPackage)) continue;
          const version = COMPONENTS[program.component].versionFor('v1.36.3');
          const file = program.goPackage.endsWith('/v3') ? 'server' : program.name;
          await writeTree(out, new Map([[file, fakeProgram(program.name, version)]]));
        }
        const known = programsOf(BUNDLE_PARTS).map(({ goPackage }) => goPackage);
        for (const other of argv.slice(argv.indexOf('-o') + 2).filter((name) => !known.includes(name)))
          await writeTree(out, new Map([[goProgramName(other), Buffer.from(`program of ${other}\n`)]]));
        return ended(argv, { stderr: 'fmt\nos\n' });
      }
      default:
        throw new Error(`FakeGo knows go env, go mod download, go list, go build; not ${argv.join(' ')}`);
    }
  };
  return fake;
}

function ended(argv: Argv, result: { stdout?: string; stderr?: string; exitCode?: number }): ExecResult {
  return {
    argv,
    stdout: '',
    stderr: '',
    exitCode: 0,
    signal: undefined,
    timedOut: false,
    aborted: false,
    leftChildren: false,
    durationMs: 1,
    ...result,
  };
}
