import type { Repair } from '../../model.js';
import type { Emit, ReaderOptions } from '../../reader.js';
import { createBuild, type Build } from './build.js';
import type { GoContext } from './context.js';
import type { GoEvent } from './event.js';
import type { PackageLine } from './frames.js';
import { createLineJoiner } from './lines.js';
import { createPackageReader, type PackageReader } from './package-reader.js';

/**
 * Turns Go events into read events: the part that both Go readers share. It keeps the packages apart, counts what it
 * repaired and ends every test that was started.
 */
export interface GoCore {
  event(event: GoEvent): void;
  /** A package whose build or setup failed, told in plain text in place of events. */
  failedPackage(line: PackageLine): void;
  /** A line that belongs to no event: what another program wrote into the stream; `partial`: more of it follows. */
  strayLine(line: string, partial?: boolean): void;
  /** Counts a repair; the same kind for the same test is folded and given out at the end. */
  repair(repair: Repair): void;
  /** The input is complete or cut off: ends what is open. */
  end(): void;
}

const MAX_BUILDS = 1000;
const MAX_REPAIRS = 10_000;

export function createGoCore(emit: Emit, options: ReaderOptions = {}): GoCore {
  const packages = new Map<string, PackageReader>();
  const builds = new Map<string, Build>();
  const buildsByPackage = new Map<string, Build>();
  const repairs = new Map<string, Repair>();

  const stray = createLineJoiner((text, partial) => {
    emit({ type: 'output', text, ...(partial ? { partial } : {}) });
  });

  function repair(found: Repair): void {
    const key = `${found.kind}\0${found.test === undefined ? '' : `${found.test.package}\0${found.test.name}`}`;
    const known = repairs.get(key);
    if (known !== undefined) repairs.set(key, { ...known, count: (known.count ?? 1) + (found.count ?? 1) });
    else if (repairs.size < MAX_REPAIRS) repairs.set(key, found);
  }

  const context: GoContext = {
    emit,
    options,
    repair,
    buildFailure: (importPath) => {
      const build = builds.get(importPath) ?? buildsByPackage.get(importPath);
      if (build === undefined) return undefined;
      build.isReported = true;
      return build.failure();
    },
  };

  let lastName: string | undefined;
  let lastReader: PackageReader | undefined;

  function packageOf(name: string): PackageReader {
    // Events of one package come in runs.
    if (lastReader !== undefined && name === lastName) return lastReader;
    let reader = packages.get(name);
    if (reader === undefined) {
      reader = createPackageReader(name, context);
      packages.set(name, reader);
    }
    lastName = name;
    lastReader = reader;
    return reader;
  }

  function buildOf(importPath: string): Build {
    let build = builds.get(importPath);
    if (build === undefined) {
      build = createBuild(importPath, emit);
      if (builds.size < MAX_BUILDS) {
        builds.set(importPath, build);
        buildsByPackage.set(build.package, build);
      }
    }
    return build;
  }

  return {
    event(event) {
      switch (event.action) {
        case 'build-output':
          buildOf(event.importPath ?? '').add(event.output ?? '');
          return;
        case 'build-fail':
          buildOf(event.importPath ?? '').hasFailed = true;
          return;
        default:
          packageOf(event.package).event(event);
      }
    },
    failedPackage(line) {
      packageOf(line.package).fails(line);
    },
    strayLine(line, partial = false) {
      stray.write(partial ? line : `${line}\n`);
    },
    repair,
    end() {
      for (const reader of packages.values()) reader.end();
      for (const build of builds.values()) {
        build.end();
        if (!isUnreported(build)) continue;
        emit({
          type: 'package-ended',
          package: build.package,
          status: 'failed',
          failure: build.failure(),
        });
      }
      for (const found of repairs.values()) emit({ type: 'repair', ...found });
    },
  };
}

/** A build that failed, and no package said it was the reason: the stream was cut off in between. */
function isUnreported(build: Build): boolean {
  return build.hasFailed && !build.isReported;
}
