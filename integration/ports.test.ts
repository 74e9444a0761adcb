/** Port leases under races of many processes. Needs nothing but this host. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { listPortLeases } from '../src/cluster/ports.js';
import { createTemporaryFolder } from '../src/files.js';
import { isAlive } from '../src/process.js';

const SCRIPT = join(import.meta.dirname, 'fixtures', 'ports', 'hammer.mts');

function hammer(folder: string, dieAfter: number): Promise<string> {
  const args = ['--import', 'tsx', SCRIPT, join(folder, 'leases'), join(folder, 'markers'), '22000', '22006', '60'];
  return new Promise((resolve) => {
    execFile(process.execPath, [...args, String(dieAfter)], (_error, stdout, stderr) => {
      resolve(stdout + stderr);
    });
  });
}

it('never lends a port to two living processes, while others die holding theirs', async () => {
  await using temporary = await createTemporaryFolder();
  await mkdir(join(temporary.path, 'markers'));
  const outputs = await Promise.all([0, 0, 0, 0, 7, 23].map((dieAfter) => hammer(temporary.path, dieAfter)));
  expect(
    outputs
      .join('')
      .split('\n')
      .filter((line) => line.startsWith('violation')),
  ).toEqual([]);
  // Each of the four that live to the end did get ports, over and over.
  const counts = outputs.flatMap((output) => /leased (\d+)/.exec(output)?.[1] ?? []).map(Number);
  expect(counts).toHaveLength(4);
  for (const count of counts) expect(count).toBeGreaterThan(20);
  // What is left belongs to the dead.
  expect((await listPortLeases(join(temporary.path, 'leases'))).filter((lease) => isAlive(lease.owner))).toEqual([]);
});
