import { rm } from 'node:fs/promises';

import { hostErrorOf } from '../../../errors.js';

export async function removeFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    throw hostErrorOf(error, folder) ?? error;
  }
}
