import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { expect, it } from 'vitest';

import { createTemporaryFolder } from '../../files.js';
import { createTestContext } from '../call.test-kit.js';
import { readInputs } from './options.js';

const passed = (name: string): string =>
  ['run', 'pass'].map((Action) => `${JSON.stringify({ Action, Package: 'p', Test: name, Elapsed: 0 })}\n`).join('');
const outputLine = `${JSON.stringify({ Action: 'output', Package: 'p', Test: 'TestA', Output: `${'x'.repeat(100)}\n` })}\n`;
const output = (bytes: number): string => outputLine.repeat(Math.ceil(bytes / outputLine.length));

it('counts inputs in all and after unpacking: what is small when packed is not small', async () => {
  await using folder = await createTemporaryFolder();
  const { context } = createTestContext(folder.path);
  const read = async (...inputs: readonly string[]) =>
    await readInputs(inputs, { environment: 'e', maxInput: 1 }, context);
  const write = async (name: string, content: string): Promise<void> => {
    await writeFile(join(folder.path, name), gzipSync(content));
  };
  await write('large.json.gz', passed('TestA') + output(2 * 1024 * 1024));
  await expect(read('large.json.gz')).rejects.toMatchObject({
    code: 'RES_TOO_LARGE',
    advice: expect.stringContaining('--max-input') as string,
  });
  for (const name of ['a', 'b']) await write(`${name}.json.gz`, passed(`Test${name}`) + output(600 * 1024));
  expect((await read('a.json.gz')).cells).toHaveLength(1);
  await expect(read('a.json.gz', 'b.json.gz')).rejects.toMatchObject({ code: 'RES_TOO_LARGE' });
});
