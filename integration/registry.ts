/**
 * A registry of one image, over plain HTTP: what a runtime asks for when it pulls, and nothing else.
 *
 * @see {@link https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pull}
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';

import { pack } from 'tar-stream';

export interface TestRegistry extends AsyncDisposable {
  /** `sha256:…` of the configuration: the id of the image in every runtime. */
  readonly imageId: string;
}

const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar';

/** Serves an image of one file as `REPOSITORY:1`, with an index before it that names another platform first. */
export async function serveImage(
  repository: string,
  at: { readonly host: string; readonly port: number },
): Promise<TestRegistry> {
  const blobs = new Map<string, { readonly type: string; readonly content: Buffer }>();
  const keep = (type: string, content: Buffer): { mediaType: string; digest: string; size: number } => {
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    blobs.set(digest, { type, content });
    return { mediaType: type, digest, size: content.length };
  };
  const json = (type: string, value: unknown): ReturnType<typeof keep> =>
    keep(type, Buffer.from(JSON.stringify(value)));

  const tar = pack();
  tar.entry({ name: 'note', mtime: new Date(0) }, 'pulled');
  tar.finalize();
  const layer = keep(LAYER, await buffer(tar));
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const config = json(CONFIG, {
    ...{ architecture, os: 'linux', config: {} },
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
  });
  const manifest = json(MANIFEST, { schemaVersion: 2, mediaType: MANIFEST, config, layers: [layer] });
  // Its configuration and its layers are not there: nobody who runs here asks for them.
  const absent = { ...config, digest: `sha256:${'0'.repeat(64)}` };
  const elsewhere = json(MANIFEST, { schemaVersion: 2, mediaType: MANIFEST, config: absent, layers: [] });
  const index = json(INDEX, {
    ...{ schemaVersion: 2, mediaType: INDEX },
    manifests: [
      { ...elsewhere, platform: { os: 'linux', architecture: 's390x' } },
      { ...manifest, platform: { os: 'linux', architecture } },
    ],
  });

  const server = createServer((request, response) => {
    const path = request.url ?? '';
    const name = /^\/v2\/(.+)\/(?:manifests|blobs)\/([^/?]+)/.exec(path);
    const found = name?.[1] === repository ? blobs.get(name[2] === '1' ? index.digest : (name[2] ?? '')) : undefined;
    if (found === undefined) {
      response.writeHead(path === '/v2/' ? 200 : 404).end();
      return;
    }
    const digest = `sha256:${createHash('sha256').update(found.content).digest('hex')}`;
    response.writeHead(200, {
      'content-type': found.type,
      'content-length': found.content.length,
      'docker-content-digest': digest,
    });
    response.end(request.method === 'HEAD' ? undefined : found.content);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at, resolve);
  });
  return {
    imageId: config.digest,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
