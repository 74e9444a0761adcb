import { writeFile } from 'node:fs/promises';

import type { FakeAnswer, FakeTool } from '../../vm/testing/fake-tools.js';
import type { FakeMachine, FakeMachines } from './fake-machines.js';

/**
 * PowerShell with the cmdlets of Hyper-V, as far as one statement after the other and literal arguments go. Words of errors as in
 * https://learn.microsoft.com/en-us/powershell/module/hyper-v/ .
 */
export function fakePowerShell(machines: FakeMachines): FakeTool {
  const failed = (cmdlet: string, text: string): FakeAnswer => ({
    exitCode: 1,
    stderr: `${cmdlet} : ${text}\r\n    + CategoryInfo          : InvalidArgument: (:) [${cmdlet}], VirtualizationException\r\n`,
  });
  const json = (value: unknown): FakeAnswer => ({ stdout: `${JSON.stringify(value)}\r\n` });

  const ofMachine = async (cmdlet: string, text: string, machine: FakeMachine): Promise<FakeAnswer> => {
    const snapshot = argument(text, cmdlet === 'Checkpoint-VM' ? 'SnapshotName' : 'Name');
    switch (cmdlet) {
      case 'Set-VM':
        machine.notes = argument(text, 'Notes');
        return {};
      case 'Add-VMDvdDrive':
        machine.seed = argument(text, 'Path');
        return {};
      case 'Start-VM':
        await machines.boot(machine, 'Running');
        return {};
      case 'Stop-VM':
        await machines.halt(machine, 'Off');
        return {};
      case 'Suspend-VM':
        machine.state = 'Paused';
        return {};
      case 'Resume-VM':
        machine.state = 'Running';
        return {};
      case 'Get-VMNetworkAdapter':
        return json([{ IPAddresses: machine.guest === undefined ? [] : ['fe80::215:5dff:fe00:1', machine.address] }]);
      case 'Remove-VM':
        machines.all.delete(machine.name);
        return {};
      case 'Checkpoint-VM':
        machine.snapshots.set(snapshot, machine.state);
        return {};
      case 'Get-VMCheckpoint':
        return json([...machine.snapshots.keys()].map((Name) => ({ Name })));
      case 'Restore-VMCheckpoint':
      case 'Remove-VMCheckpoint':
        if (!machine.snapshots.has(snapshot)) {
          return failed(cmdlet, 'Hyper-V was unable to find a checkpoint matching the given criteria.');
        }
        if (cmdlet === 'Remove-VMCheckpoint') machine.snapshots.delete(snapshot);
        else machine.state = 'Saved';
        return {};
      case 'Set-VMMemory':
      case 'Set-VMProcessor':
      case 'Set-VMFirmware':
        return {};
      default:
        return failed(cmdlet, 'The term is not recognized as the name of a cmdlet.');
    }
  };

  const one = async (text: string): Promise<FakeAnswer> => {
    if (text.startsWith('$ErrorActionPreference') || /^(?:\$Progress|\[Console\])/.test(text)) return {};
    if (/Get-VMHost/.test(text)) return {};
    if (text.startsWith('"Hyper-V')) return { stdout: 'Hyper-V 2.0.0.0\r\n' };
    if (/New-VHD/.test(text)) {
      await writeFile(argument(text, 'Path'), '');
      return {};
    }
    if (/@\(Get-VM \|/.test(text)) {
      return json(
        [...machines.all.values()].map(({ name, state, notes }) => ({ Name: name, State: state, Notes: notes })),
      );
    }
    const cmdlet =
      /\b((?:New|Set|Add|Get|Remove|Start|Stop|Suspend|Resume|Checkpoint|Restore)-VM\w*)/.exec(text)?.[1] ?? text;
    if (cmdlet === 'New-VM') {
      machines.add(argument(text, 'Name'), 'Off');
      return {};
    }
    const name = argument(text, 'VMName') || argument(text, 'Name');
    const machine = machines.all.get(name);
    if (machine === undefined) {
      return failed(cmdlet, `Hyper-V was unable to find a virtual machine with name "${name}".`);
    }
    return await ofMachine(cmdlet, text, machine);
  };

  return async ({ args }) => {
    let stdout = '';
    for (const text of statements(args.at(-1) ?? '')) {
      const answer = await one(text);
      stdout += answer.stdout ?? '';
      if (answer.exitCode !== undefined) return { ...answer, stdout };
    }
    return { stdout };
  };
}

/** Between semicolons that are in no quotes and no braces. */
function statements(command: string): string[] {
  const found: string[] = [];
  let text = '';
  let depth = 0;
  let isQuoted = false;
  for (const char of command) {
    if (char === "'") isQuoted = !isQuoted;
    if (!isQuoted && char === '{') depth += 1;
    if (!isQuoted && char === '}') depth -= 1;
    if (char === ';' && !isQuoted && depth === 0) {
      found.push(text.trim());
      text = '';
    } else {
      text += char;
    }
  }
  return [...found, text.trim()].filter((each) => each !== '');
}

function argument(text: string, name: string): string {
  return (new RegExp(`-${name} '((?:[^']|'')*)'`).exec(text)?.[1] ?? '').replaceAll("''", "'");
}
