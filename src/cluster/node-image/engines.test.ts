import { describe, expect, it } from 'vitest';

import type { Exec, ExecResult } from '../../exec.js';
import { loadImage } from './engines.js';

/** Of Podman 5.4.2 on 2026-11-22, whose storage could not be mounted; paths shortened. It says why for each format it knows. */
const PODMAN_REFUSES = `time="2026-11-22T07:40:15Z" level=warning msg="Using cgroups-v1 which is deprecated in favor of cgroups-v2 with Podman v5"
Error: payload does not match any of the supported image formats:
 * oci: open /cache/node.tar/index.json: not a directory
 * oci-archive: writing blob: adding layer with blob "sha256:bd11": unpacking failed (error: exit status 1; output: remount /, flags: 0x44000: invalid argument)
 * docker-archive: writing blob: adding layer with blob "sha256:bd11": unpacking failed (error: exit status 1; output: remount /, flags: 0x44000: invalid argument)
 * dir: open /cache/node.tar/manifest.json: not a directory
`;

async function refusal(stderr: string): Promise<unknown> {
  const end = { signal: undefined, timedOut: false, aborted: false, leftChildren: false, durationMs: 1 };
  const exec: Exec = (argv): Promise<ExecResult> =>
    Promise.resolve({ ...end, argv, exitCode: 125, stdout: '', stderr });
  const { signal } = new AbortController();
  const image = { archive: '/cache/node.tar', reference: 'mk-ci-node:v1', digest: 'sha256:0' };
  return await loadImage('podman', image, { exec, signal }).catch((error: unknown) => error);
}

describe('an image that an engine does not take', () => {
  it('is refused for what is wrong with an archive, not for being no folder', async () => {
    const error = await refusal(PODMAN_REFUSES);
    expect(error).toMatchObject({ code: 'IMG_LOAD_FAILED' });
    expect(String(error)).toContain('unpacking failed (error: exit status 1; output: remount /');
    expect(String(error)).not.toContain('not a directory');
  });

  it('is refused with the last line of other words', async () => {
    expect(String(await refusal('warning\nError: no space left on device\n'))).toContain('no space left on device');
  });
});
