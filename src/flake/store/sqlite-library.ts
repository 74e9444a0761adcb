import type Database from 'better-sqlite3';

/**
 * Which better-sqlite3 runs on a Node.js.
 *
 * - Major 12 ends the process when a statement is collected on Node.js ≥ 24.19 (nodejs/node#65446: the base class of its
 *   objects asks for an environment that a collection in the background has not).
 * - Major 13 is built on Node-API 10 and crashes where that is missing: before 22.14 (WiseLibs/better-sqlite3#1514).
 *
 * Major 13 is an optional dependency, which npm leaves out on Node.js 20, under the name `better-sqlite3-napi`.
 *
 * @param nodeVersion such as `24.21.0`
 */
export function sqlitePackage(nodeVersion: string): 'better-sqlite3' | 'better-sqlite3-napi' {
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number);
  return major > 22 || (major === 22 && minor >= 14) ? 'better-sqlite3-napi' : 'better-sqlite3';
}

async function load(): Promise<typeof Database> {
  if (sqlitePackage(process.versions.node) === 'better-sqlite3-napi') {
    try {
      return (await import('better-sqlite3-napi')).default;
    } catch (error) {
      // Installed without optional dependencies.
      if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error;
    }
  }
  return (await import('better-sqlite3')).default;
}

/** The database class of the better-sqlite3 that runs here. */
export const SqliteDatabase: typeof Database = await load();
