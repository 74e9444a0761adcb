import { z } from 'zod';

import { configSchema } from './schema.js';

/** JSON Schema (draft 2020-12) of `mk-ci.yaml`, for editors; written to `mk-ci.schema.json` by `npm run generate`. */
export function renderJsonSchema(): string {
  const schema = z.toJSONSchema(configSchema, { io: 'input' });
  return `${JSON.stringify({ $id: 'mk-ci.schema.json', title: 'mk-ci.yaml', ...schema }, undefined, 2)}\n`;
}
