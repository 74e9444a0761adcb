// Work folders of well-known CI systems; what follows is the path inside the repository.
const WORK_FOLDERS: readonly RegExp[] = [
  /^\/home\/runner\/work\/[^/]+\/[^/]+\//,
  /^\/Users\/runner\/work\/[^/]+\/[^/]+\//,
  /^\/__w\/[^/]+\/[^/]+\//,
  /^\/github\/workspace\//,
  /^[A-Za-z]:\/a\/[^/]+\/[^/]+\//,
  /^\/builds\/[^/]+\/[^/]+\//,
  /^\/home\/prow\/go\/src\/(?:[^/]+\.[^/]+\/[^/]+|[^/]+)\/[^/]+\//,
];

/**
 * A path as it may stand in the identity of a test: relative to the base folder, or to the work folder of a known CI
 * system, with `/` between its parts; otherwise as it is.
 */
export function stablePath(path: string, baseFolder?: string): string {
  const normal = path.replace(/^file:\/\//, '').replace(/\\/g, '/');
  if (baseFolder !== undefined && baseFolder !== '') {
    const base = `${baseFolder.replace(/\\/g, '/').replace(/\/+$/, '')}/`;
    if (normal.startsWith(base)) return normal.slice(base.length);
  }
  for (const folder of WORK_FOLDERS) {
    const start = folder.exec(normal)?.[0];
    if (start !== undefined && start.length < normal.length) return normal.slice(start.length);
  }
  return normal.replace(/^\.\//, '');
}
