import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { isStale, steps, writeStamp } from './stamps.js';

/**
 * What `./mk-ci` does before it is the command line: `npm ci` when the lock file or Node.js changed, `npm run build`
 * when a source changed. Plain JavaScript without packages, because it runs before there are any.
 */

const MINIMUM_NODE = [20, 20];
const root = resolve(import.meta.dirname, '..');
const lock = join(root, '.mk-ci-lock');

checkNodeVersion();
if (steps.some(isStale)) withLock(prepare);
await import('../dist/cli.js');

function checkNodeVersion() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor >= MINIMUM_NODE[1])) return;
  fail(35, `Node.js ${process.versions.node} is too old; install version ${MINIMUM_NODE.join('.')} or newer`);
}

function prepare() {
  for (const step of steps) {
    if (!isStale(step)) continue;
    say(`${step.title} …`);
    const startedAt = performance.now();
    const { status, signal, error } = spawnSync('npm', step.npm, {
      cwd: root,
      // Data of the command comes later on standard output; npm's words do not belong there.
      stdio: ['ignore', 2, 2],
      env: { ...process.env, ...nodeHeaders() },
    });
    if (signal !== null) process.exit(signal === 'SIGTERM' ? 143 : 130);
    if (status !== 0)
      fail(30, `npm ${step.npm.join(' ')} failed${error ? ` (${error.message})` : ''}; read the lines above`);
    writeStamp(step);
    say(`${step.title}: done in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  }
}

/** Headers beside this Node.js spare node-gyp a download when it compiles better-sqlite3. */
function nodeHeaders() {
  const prefix = resolve(process.execPath, '..', '..');
  return existsSync(join(prefix, 'include', 'node', 'node.h')) ? { npm_config_nodedir: prefix } : {};
}

/** Two launchers at once: the second waits for the first. The lock is a folder with the owner's process number in it. */
function withLock(action) {
  for (;;) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') fail(37, `can not write to ${root} (${error.code})`);
    }
    if (ownerIsGone()) rmSync(lock, { recursive: true, force: true });
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
  writeFileSync(join(lock, 'pid'), String(process.pid));
  const unlock = () => {
    rmSync(lock, { recursive: true, force: true });
  };
  process.once('exit', unlock);
  action();
  process.off('exit', unlock);
  unlock();
}

function ownerIsGone() {
  let owner;
  try {
    owner = Number(readFileSync(join(lock, 'pid'), 'utf8'));
  } catch {
    return false; // taken this very moment
  }
  try {
    process.kill(owner, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

function say(text) {
  process.stderr.write(`mk-ci: ${text}\n`);
}

function fail(exitCode, text) {
  say(text);
  process.exit(exitCode);
}
