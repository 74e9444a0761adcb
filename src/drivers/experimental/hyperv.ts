import { join } from 'node:path';

import { z } from 'zod';

import { MkCiError } from '../../errors.js';
import type { Argv } from '../../exec.js';
import type { MachineState } from '../driver.js';
import { SSH_PORT, formatOwner } from '../vm/index.js';
import type { Run, ToolTraits } from './tool-hypervisor.js';

/**
 * Hyper-V over its cmdlets in PowerShell, whose answers come as JSON.
 *
 * Cmdlets: https://learn.microsoft.com/en-us/powershell/module/hyper-v/ ; which of them a cluster needs, and the switch:
 * `kubernetes/minikube:pkg/drivers/hyperv`.
 */

/** What Windows makes by itself: NAT and DHCP. */
const DEFAULT_SWITCH = 'Default Switch';
const MIB = 1024 * 1024;

/** In front of each script: errors end it, and its words are UTF-8. */
const PREAMBLE =
  "$ErrorActionPreference = 'Stop'; $ProgressPreference = 'SilentlyContinue'; [Console]::OutputEncoding = [Text.Encoding]::UTF8";

/** A text as PowerShell takes it literally; it takes several characters for a single quote. */
export function literal(text: string): string {
  return `'${text.replace(/['\u2018\u2019\u201a\u201b]/g, '$&$&')}'`;
}

export function script(...statements: readonly string[]): Argv {
  const command = [PREAMBLE, ...statements].join('; ');
  return ['powershell.exe', '-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-Command', command];
}

/** Always a list, also of one or none: a pipe into ConvertTo-Json would unwrap it. */
const asJson = (list: string): string => `ConvertTo-Json -Compress -InputObject @(${list})`;

const vmSchema = z.array(z.object({ Name: z.string(), State: z.string(), Notes: z.string().nullish() }));
const adapterSchema = z.array(z.object({ IPAddresses: z.array(z.string()).nullish() }));
const snapshotSchema = z.array(z.object({ Name: z.string() }));

export interface HypervOptions {
  readonly folder: string;
  /** @default 22 */
  readonly sshPort?: number;
}

export function hypervTraits({ folder, sshPort = SSH_PORT }: HypervOptions): ToolTraits {
  const act = async (run: Run, statement: string, signal?: AbortSignal): Promise<void> => {
    await run(script(statement), { signal });
  };
  const ofVm = (cmdlet: string, name: string, rest = ''): string => `${cmdlet} -Name ${literal(name)}${rest}`;
  return {
    driver: 'hyperv',
    versionCommand: script('$null = Get-VMHost', '"Hyper-V $((Get-Command Get-VM).Version)"'),
    parseVersion: (said) => /Hyper-V (\d+(?:\.\d+)+)/.exec(said)?.[1],
    minMajor: 1,
    install:
      'Switch Hyper-V on (Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V -All) and start again.',
    url: 'https://learn.microsoft.com/en-us/virtualization/hyper-v-on-windows/quick-start/enable-hyper-v',
    ailments: [
      {
        pattern: /required permission|authorization policy/i,
        reason: 'PERMISSION',
        fix: 'Work as administrator, or join the group Hyper-V Administrators.',
      },
    ],
    isIsolated: false,
    network: 'dhcp',
    diskFormats: ['vhdx', 'vpc'],
    list: async (run, signal) => {
      const fields = 'Name, @{ n = \'State\'; e = { "$($_.State)" } }, Notes';
      const said = await run(script(asJson(`Get-VM | Select-Object ${fields}`)), { signal });
      return parse(vmSchema, said).map(({ Name, State, Notes }) => ({
        name: Name,
        state: stateOf(State),
        notes: Notes ?? '',
      }));
    },
    define: async (run, { record, paths, image }, signal) => {
      const { name } = record;
      const disk = join(paths.folder, `disk${image.endsWith('.vhd') ? '.vhd' : '.vhdx'}`);
      const notes = literal(formatOwner({ folder, network: record.network, labels: record.labels }));
      await run(
        script(
          // A layer above the image, which is never written.
          `if (-not (Test-Path -LiteralPath ${literal(disk)})) { $null = New-VHD -Path ${literal(disk)} -ParentPath ${literal(image)} -Differencing }`,
          `$null = New-VM -Name ${literal(name)} -Path ${literal(paths.folder)} -Generation ${image.endsWith('.vhd') ? 1 : 2} -MemoryStartupBytes ${record.memoryMiB * MIB} -VHDPath ${literal(disk)} -SwitchName ${literal(DEFAULT_SWITCH)}`,
          ofVm('Set-VM', name, ` -Notes ${notes} -AutomaticCheckpointsEnabled $false -CheckpointType Standard`),
          `Set-VMMemory -VMName ${literal(name)} -DynamicMemoryEnabled $false`,
          `Set-VMProcessor -VMName ${literal(name)} -Count ${record.cpus}`,
          `Add-VMDvdDrive -VMName ${literal(name)} -Path ${literal(paths.seed)}`,
          // Its keys are those of Windows; images of Linux are signed by others, or by nobody.
          ...(image.endsWith('.vhd') ? [] : [`Set-VMFirmware -VMName ${literal(name)} -EnableSecureBoot Off`]),
        ),
        { signal },
      );
    },
    start: async (run, { record }, signal) => {
      await act(run, ofVm('Start-VM', record.name), signal);
    },
    pressPowerButton: async (run, { record }, signal) => {
      // It waits for the guest as long as that takes. Whatever comes of it, the state of the machine is looked at.
      await run(script(ofVm('Stop-VM', record.name, ' -Force')), { signal, done: /(?:)/ });
    },
    kill: async (run, name) => {
      await act(run, ofVm('Stop-VM', name, ' -TurnOff -Force'));
    },
    pause: async (run, name, signal) => {
      await act(run, ofVm('Suspend-VM', name), signal);
    },
    resume: async (run, name, signal) => {
      await act(run, ofVm('Resume-VM', name), signal);
    },
    reach: async (run, { record }, signal) => {
      const query = `Get-VMNetworkAdapter -VMName ${literal(record.name)} | Select-Object IPAddresses`;
      const said = await run(script(asJson(query)), { signal });
      const host = parse(adapterSchema, said)
        .flatMap(({ IPAddresses }) => IPAddresses ?? [])
        .find((address) => /^\d+(?:\.\d+){3}$/.test(address) && !address.startsWith('169.254.'));
      return host === undefined
        ? undefined
        : { ssh: { host, port: sshPort }, internalAddress: host, endpointOf: (port) => ({ host, port }) };
    },
    remove: async (run, name) => {
      await act(run, ofVm('Remove-VM', name, ' -Force'));
    },
    snapshots: {
      save: async (run, name, snapshot, signal) => {
        await act(run, ofVm('Checkpoint-VM', name, ` -SnapshotName ${literal(snapshot)}`), signal);
      },
      restore: async (run, name, snapshot, signal) => {
        const restore = `Restore-VMCheckpoint -VMName ${literal(name)} -Name ${literal(snapshot)} -Confirm:$false`;
        // With the memory of a running machine it comes back as saved.
        await run(script(restore, ofVm('Start-VM', name)), { signal });
      },
      list: async (run, name, signal) => {
        const query = `Get-VMCheckpoint -VMName ${literal(name)} | Select-Object Name`;
        return parse(snapshotSchema, await run(script(asJson(query)), { signal })).map(({ Name }) => Name);
      },
      delete: async (run, name, snapshot, signal) => {
        await act(run, `Remove-VMCheckpoint -VMName ${literal(name)} -Name ${literal(snapshot)}`, signal);
      },
    },
  };
}

function parse<T>(schema: z.ZodType<T>, said: string): T {
  try {
    return schema.parse(said.trim() === '' ? [] : JSON.parse(said));
  } catch (error) {
    throw new MkCiError('DRV_FAILED', { message: 'Hyper-V says what can not be read', cause: error });
  }
}

function stateOf(state: string): MachineState {
  if (['Off', 'Saved', 'FastSaved'].includes(state)) return 'stopped';
  if (state === 'Paused') return 'paused';
  return /Critical$/.test(state) ? 'broken' : 'running';
}
