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
  /** Runs guests now. Stops at the first accelerator that works. @throws {MkCiError} `HOST_MISSING_TOOL` */
  probe(signal: AbortSignal): Promise<readonly AcceleratorProbe[]>;
  /** From what was found since this QEMU and this kernel's device are there. @throws {MkCiError} `DRV_UNUSABLE`, `HOST_MISSING_TOOL` */
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
  const probe = async (signal: AbortSignal): Promise<readonly AcceleratorProbe[]> => {
    const key = await keyOf(signal);
    const probes: AcceleratorProbe[] = [];
    for (const candidate of candidatesFor(platform, hostArchitecture(), architecture)) {
      const found = await probeAccelerator(candidate, { exec, program, architecture, signal });
      probes.push(found);
      if (found.works) break;
    }
    // An answer that could not be kept is only found again.
    await writeFileAtomically(cacheFile, `${JSON.stringify({ key, probes })}\n`).catch(() => undefined);
    known = chooseAccelerator(probes).accelerator;
    return probes;
  };
  const readCache = async (signal: AbortSignal): Promise<Accelerator | undefined> => {
    try {
      const { key, probes } = cacheSchema.parse(JSON.parse(await readFile(cacheFile, 'utf8')));
      if (key !== (await keyOf(signal))) return undefined;
      return probes.find(({ works }) => works)?.accelerator;
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  };
  return {
    probe,
    choose: async (signal) => {
      known ??= (await readCache(signal)) ?? chooseAccelerator(await probe(signal)).accelerator;
      if (known === undefined) throw new MkCiError('DRV_UNUSABLE', { message: 'no guest runs in QEMU on this host' });
      return known;
    },
  };
}

function hostArchitecture(): Architecture {
  return process.arch === 'arm64' ? 'arm64' : 'amd64';
}
