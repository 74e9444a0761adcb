import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/**
 * What the installed packages and the built files were made from, so that the launcher does neither twice. Run by npm
 * after `npm ci` (`prepare` in package.json), it notes that the packages are those of the lock file.
 */

const root = resolve(import.meta.dirname, '..');

/** Steps in their order: what they are made from, where their stamp lies, and the npm command. */
export const steps = [
  {
    title: 'installing packages (npm ci)',
    inputs: ['package-lock.json'],
    stamp: join(root, 'node_modules', '.mk-ci-stamp'),
    npm: ['ci', '--no-fund', '--no-audit', '--loglevel=error'],
  },
  {
    title: 'building (npm run build)',
    inputs: ['package-lock.json', 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'src', 'scripts'],
    stamp: join(root, 'dist', '.mk-ci-stamp'),
    npm: ['run', '--silent', 'build'],
  },
];

export function isStale({ stamp, inputs }) {
  return !existsSync(stamp) || readFileSync(stamp, 'utf8') !== digestOf(inputs);
}

/** Notes that a step was done with its inputs as they are now. */
export function writeStamp({ stamp, inputs }) {
  writeFileSync(stamp, digestOf(inputs));
}

function digestOf(inputs) {
  const hash = createHash('sha256').update(process.version);
  const add = (path) => {
    const full = join(root, path);
    if (!path.includes('.')) {
      for (const entry of readdirSync(full, { recursive: true, withFileTypes: true })
        .filter((found) => found.isFile() && !found.name.endsWith('.test.ts'))
        .map((found) => join(found.parentPath, found.name))
        .sort()) {
        hash.update(entry.slice(root.length)).update(readFileSync(entry));
      }
      return;
    }
    hash.update(path).update(readFileSync(full));
  };
  inputs.forEach(add);
  return hash.digest('hex');
}

if (process.argv[1] === import.meta.filename && existsSync(join(root, 'node_modules'))) writeStamp(steps[0]);
