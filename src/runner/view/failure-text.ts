import type { Failure, Status } from '../../results/model.js';
import { oneLine } from './line-text.js';

/**
 * What failed, in one line: `<name> <status>: <reason>`. A reason that is only the name again is left out, and so are name and
 * status of a package without a name (a document of TAP, say).
 */
export function failureText(name: string, status: Status, failure: Pick<Failure, 'message'> | undefined): string {
  const reason = failure === undefined ? '' : oneLine(failure.message);
  if (name === '') return reason === '' ? status : reason;
  return reason === '' || reason === oneLine(name) ? `${name} ${status}` : `${name} ${status}: ${reason}`;
}
