import { existsSync } from 'node:fs';

/** Also those of root, which a user may not have in PATH. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'] as const;

/** Whether this system has a program, for root at least. */
export function isSystemProgram(name: string, isThere: (path: string) => boolean = existsSync): boolean {
  return SYSTEM_FOLDERS.some((folder) => isThere(`${folder}/${name}`));
}
