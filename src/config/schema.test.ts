import { describe, expect, it } from 'vitest';

import { DRIVER_FACTORIES } from '../drivers/index.js';
import { FORMATS } from '../results/reader.js';
import { DRIVER_NAMES, suiteSchema } from './schema.js';

// The schema stands below drivers and results and can not import their lists; these tests keep them the same.
describe('configSchema', () => {
  it('knows exactly the drivers of the registry', () => {
    expect([...DRIVER_NAMES].sort()).toEqual(Object.keys(DRIVER_FACTORIES).sort());
  });

  it('knows exactly the formats that can be read, and auto', () => {
    expect([...suiteSchema.shape.format.unwrap().options].sort()).toEqual(['auto', ...FORMATS].sort());
  });
});
