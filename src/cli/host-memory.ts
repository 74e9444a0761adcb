import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';

/**
 * Memory that programs started now can use: what the kernel calls available, within the limit of the control group.
 *
 * @returns MiB
 */
export function availableMemoryMiB(): number {
  const constrained = process.constrainedMemory();
  // Without a limit, cgroup v1 gives a number near 2^63.
  const limit = constrained > 0 && constrained < totalmem() ? constrained : totalmem();
  return Math.floor(Math.min(limit, kernelAvailable() ?? freemem()) / 1024 ** 2);
}

function kernelAvailable(): number | undefined {
  try {
    const match = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'));
    return match === null ? undefined : Number(match[1]) * 1024;
  } catch {
    return undefined; // not Linux
  }
}
