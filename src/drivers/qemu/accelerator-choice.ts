import { readFile, stat } from 'node:fs/promises';
import { release } from 'node:os';

import { z } from 'zod';

import { MkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import { writeFileAtomically } from '../../files.js';
import type { Architecture } from '../driver.js';
import {
  candidatesFor,
  chooseAccelerator,
  probeAccelerator,
  type Accelerator,
  type AcceleratorProbe,
} from './accelerators.js';
import { programFor } from './arguments.js';

const accelerator = z.enum(['kvm', 'hvf', 'tcg']);
const cacheSchema = z.object({
  key: z.string(),
  probes: z.array(z.object({ accelerator, works: z.boolean(), reason: z.string().optional() })),
});

/** Which accelerator machines get on this host. A guest that hangs costs seconds, so the answer is kept. */
export interface AcceleratorChoice {
  /**
   * What was found since this QEMU and this device of the kernel are there, else what guests do now, up to the first
   * accelerator that works. @throws {MkCiError} `HOST_MISSING_TOOL`
   */
  probe(signal: AbortSignal): Promise<readonly AcceleratorProbe[]>;
  /** The best that works. @throws {MkCiError} `DRV_UNUSABLE`, `HOST_MISSING_TOOL` */
  choose(signal: AbortSignal): Promise<Accelerator>;
}

export interface AcceleratorChoiceOptions {
  readonly exec: Exec;
  readonly architecture: Architecture;
  readonly platform: NodeJS.Platform;
  readonly cacheFile: string;
}

export function createAcceleratorChoice(options: AcceleratorChoiceOptions): AcceleratorChoice {
  const { exec, architecture, platform, cacheFile } = options;
  const program = programFor(architecture);
  let known: Accelerator | undefined;

  const keyOf = async (signal: AbortSignal): Promise<string> => {
    const { stdout } = await exec([program, '--version'], { timeoutMs: 10_000, signal });
    const device = await stat('/dev/kvm').then(
      (info) => `${info.ctimeMs} ${info.mode} ${info.uid} ${info.gid}`,
      () => 'none',
    );
    return [stdout.split('\n', 1)[0], release(), device, process.getuid?.()].join('; ');
  };
  const readCache = async (key: string): Promise<readonly AcceleratorProbe[] | undefined> => {
    try {
      const cached = cacheSchema.parse(JSON.parse(await readFile(cacheFile, 'utf8')));
      if (cached.key !== key) return undefined;
      return cached.probes.map(({ reason, ...rest }) => ({ ...rest, ...(reason === undefined ? {} : { reason }) }));
    } catch {
      return undefined; // not there, or of another version
    }
  };
  const probe = async (signal: AbortSignal): Promise<readonly AcceleratorProbe[]> => {
    const key = await keyOf(signal);
    const kept = await readCache(key);
    if (kept?.some(({ works }) => works) === true) return kept;
    const probes: AcceleratorProbe[] = [];
    for (const candidate of candidatesFor(platform, hostArchitecture(), architecture)) {
      const found = await probeAccelerator(candidate, { exec, program, architecture, signal });
      probes.push(found);
      if (found.works) break;
    }
    // An answer that could not be kept is only found again.
    await writeFileAtomically(cacheFile, `${JSON.stringify({ key, probes })}\n`).catch(() => undefined);
    return probes;
  };
  return {
    probe,
    choose: async (signal) => {
      known ??= chooseAccelerator(await probe(signal)).accelerator;
      if (known === undefined) throw new MkCiError('DRV_UNUSABLE', { message: 'no guest runs in QEMU on this host' });
      return known;
    },
  };
}

function hostArchitecture(): Architecture {
  return process.arch === 'arm64' ? 'arm64' : 'amd64';
}
