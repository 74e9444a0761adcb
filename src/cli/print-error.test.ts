import { describe, expect, it } from 'vitest';

import { MkCiError } from '../errors.js';
import { printError } from './print-error.js';

describe('an error that is printed', () => {
  it('shows what a host said without what would act on a terminal', () => {
    let printed = '';
    const context = { stderr: (text: string) => void (printed += text) };
    const error = new MkCiError('DRV_FAILED', {
      message: 'root@a:22: \u001b]0;owned\u0007no\u001b[2J\r space\u009b1m',
      details: { output: 'one\u001b[31m\n\ttwo\u0000' },
    });
    expect(printError(error, context, false)).toBe(error.exitCode);
    expect(printed).toContain('root@a:22: ]0;ownedno[2J space1m (DRV_FAILED)\n  | one[31m\n  | \ttwo\n');
  });
});
