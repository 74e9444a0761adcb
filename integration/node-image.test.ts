/**
 * Node images against real programs. Needs: docker or podman that answers, a node image in the cache
 * (`mk-ci node-image build`), some 30 s. Parts that miss something are skipped with a word.
 */
import { exec } from '../src/exec.js';
import { createTemporaryFolder } from '../src/files.js';
import { foldersOf } from '../src/files.js';
import { silentLogger } from '../src/log.js';
import { createBundleStore } from '../src/cluster/bundle/index.js';
import {
  buildImage,
  createNodeImageStore,
  IMAGE_ENGINES,
  writeImageArchive,
  type ImageEngine,
} from '../src/cluster/node-image/index.js';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

const never = new AbortController().signal;
const TIMEOUT_MS = 5 * 60_000;

async function answers(engine: ImageEngine): Promise<boolean> {
  const result = await exec([engine, 'version', '--format', 'json'], { allowFailure: true, timeoutMs: 20_000 }).catch(
    () => undefined,
  );
  return result?.exitCode === 0;
}

const cacheFolder = foldersOf(process.env).cache;
const bundles = createBundleStore({ cacheFolder, exec, log: silentLogger, env: process.env, sources: [] });
const store = createNodeImageStore({ cacheFolder, bundles, exec, env: process.env });
const [image] = await store.list();

for (const engine of IMAGE_ENGINES) {
  const works = await answers(engine);
  // podman's defaults (crun, limits of its own) fail on restricted hosts.
  const start =
    engine === 'podman'
      ? ['--runtime', 'runc', 'run', '--rm', '--ulimit', 'nofile=4096:4096', '--ulimit', 'nproc=4096:4096']
      : ['run', '--rm'];
  const run = async (...words: string[]): Promise<string> =>
    (await exec([engine, ...words], { timeoutMs: 120_000 })).stdout;

  describe.skipIf(!works)(`${engine} (skipped where it does not answer)`, () => {
    it(
      'takes an image FROM scratch that mk-ci wrote, under the id that mk-ci computed',
      async () => {
        await using folder = await createTemporaryFolder();
        const content = join(folder.path, 'greeting');
        await writeFile(content, 'hello\n');
        const name = `mk-ci-test-image:${process.pid}`;
        const built = await buildImage({
          name,
          architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
          entrypoint: ['/none'],
          files: [{ kind: 'file', path: 'etc/greeting', content: { file: content, sizeBytes: 6 } }],
          workFolder: folder.path,
          signal: never,
        });
        const archive = join(folder.path, 'image.tar');
        await writeImageArchive(archive, [built], never);
        await run('load', '-i', archive);
        try {
          const id = await run('image', 'inspect', '--format', '{{.Id}}', built.config.digest.slice('sha256:'.length));
          expect(id.trim().replace(/^sha256:/, '')).toBe(built.config.digest.slice('sha256:'.length));
        } finally {
          await run('rmi', built.config.digest.slice('sha256:'.length));
        }
      },
      TIMEOUT_MS,
    );
  });

  describe.skipIf(!works || image === undefined)(`a node image in ${engine} (skipped without one in the cache)`, () => {
    it(
      'is loaded once, and says what it holds',
      async () => {
        if (image === undefined) return;
        await store.load(image, engine, never);
        expect(await store.load(image, engine, never)).toBe(false);
        const facts: unknown = JSON.parse(
          await run(
            ...start,
            '--network',
            'none',
            '--entrypoint',
            '/bin/cat',
            image.digest.slice(7),
            '/etc/mk-ci/node-image.json',
          ),
        );
        expect(facts).toMatchObject({ kubernetesVersion: image.kubernetesVersion, images: image.images });
      },
      TIMEOUT_MS,
    );

    it(
      'has a store that the real containerd reads: every image that kubeadm wants, complete',
      async () => {
        if (image === undefined) return;
        // Without mounts and privileges: only what is written in the store is looked at.
        const script =
          'containerd --log-level error >/tmp/log 2>&1 & for i in $(seq 100); do ctr version >/dev/null 2>&1 && break; sleep 0.2; done; ' +
          'ctr -n k8s.io images check';
        const listed = await run(
          ...start,
          '--network',
          'none',
          '-v',
          '/var',
          '--entrypoint',
          '/bin/sh',
          image.digest.slice(7),
          '-c',
          script,
        );
        for (const name of image.images) {
          expect(listed.split('\n').find((line) => line.startsWith(`${name} `))).toMatch(/complete \(2\/2\).*true/);
        }
      },
      TIMEOUT_MS,
    );
  });
}
