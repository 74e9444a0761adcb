import { MkCiError } from '../../errors.js';

/** Names go into command lines of monitors. A number alone would be taken for the id of another snapshot. */
export function checkSnapshotName(snapshot: string): void {
  if (/^[A-Za-z][\w.-]{0,62}$/.test(snapshot)) return;
  throw new MkCiError('CLI_USAGE', {
    message: `'${snapshot}' is no name for a snapshot`,
    advice: 'Begin with a letter, then letters, digits, dots, dashes and underscores, at most 63.',
  });
}
