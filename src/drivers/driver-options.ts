import type { z } from 'zod';

import { MkCiError } from '../errors.js';
import type { DriverOptions } from './driver.js';

/**
 * The driver's own options of an environment.
 *
 * @param advice in the imperative: where they are written
 * @throws {MkCiError} `CFG_INVALID` with all that is not right
 */
export function parseDriverOptions<T extends z.ZodType>(
  schema: T,
  options: DriverOptions,
  { driver, advice }: { readonly driver: string; readonly advice: string },
): z.output<T> {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `options.${path.join('.')}: ${message}`);
  throw new MkCiError('CFG_INVALID', {
    message: `driver ${driver}: ${problems.join('; ')}`,
    advice,
    details: { problems },
  });
}
