import { appendFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { basename, dirname } from 'node:path';

import type { FakeCall, FakeTool } from '../../vm/testing/fake-tools.js';
import { after, type FakeMachine, type FakeMachines } from './fake-machines.js';

/** `vfkit` and `hyperkit`: a process each machine, and the server of macOS that writes down which address it gave. */
export function fakeMacProcesses(
  machines: FakeMachines,
  leasesFile: string,
): Readonly<Record<'vfkit' | 'hyperkit', FakeTool>> {
  const lease = async (name: string, address: string, mac: string): Promise<void> => {
    const bare = mac.replace(/\b0(?=[0-9a-f])/g, ''); // as vmnet writes them
    await appendFile(
      leasesFile,
      `{\n\tname=${name}\n\tip_address=${address}\n\thw_address=1,${bare}\n\tidentifier=1,${bare}\n\tlease=0x6921b5c8\n}\n`,
    );
  };
  const run = async (seed: string, { pid }: FakeCall): Promise<FakeMachine> => {
    const machine = machines.add(`${basename(dirname(seed))} ${pid}`, 'VirtualMachineStateRunning');
    machine.seed = seed;
    await machines.boot(machine, machine.state);
    return machine;
  };
  /** `GET` and `POST /vm/state`, as `crc-org/vfkit:doc/usage.md` has them. */
  const serve = (machine: FakeMachine, socket: string, pid: number): Server => {
    const server = createServer((request, response) => {
      let text = '';
      request.on('data', (piece: Buffer) => (text += piece.toString()));
      request.on('end', () => {
        if (request.method === 'POST') {
          const { state } = JSON.parse(text) as { state: string };
          if (state === 'Pause') machine.state = 'VirtualMachineStatePaused';
          if (state === 'Resume') machine.state = 'VirtualMachineStateRunning';
          response.writeHead(202).end();
          if (state === 'Stop' || state === 'HardStop') process.kill(pid, 'SIGKILL');
          return;
        }
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ state: machine.state, canStart: false, canPause: true, canStop: true }));
      });
    });
    return server.listen(socket);
  };
  return {
    vfkit: async (call) => {
      const { args, pid } = call;
      if (args[0] === '--version') return { stdout: 'vfkit version: v0.6.1\n' };
      const devices = args.filter((_, index) => args[index - 1] === '--device');
      const seed = devices
        .map((device) => /^virtio-blk,path=(.*\.iso)$/.exec(device)?.[1])
        .find((path) => path !== undefined);
      const mac = devices.map((device) => /mac=(.*)$/.exec(device)?.[1]).find((found) => found !== undefined) ?? '';
      const machine = await run(seed ?? '', call);
      const socket = after(args, '--restful-uri').replace('unix://', '');
      await rm(socket, { force: true });
      const server = serve(machine, socket, pid);
      await lease('', machine.address, mac);
      return {
        onEnd: () => {
          server.close();
          server.closeAllConnections();
          void machines.halt(machine, '');
        },
      };
    },
    hyperkit: async (call) => {
      const { args } = call;
      if (args[0] === '-v')
        return { stdout: 'hyperkit: v0.20210107\n\nHomepage: https://github.com/docker/hyperkit\n' };
      const slot = args.find((arg) => arg.endsWith('.iso')) ?? '';
      const machine = await run(slot.replace(/^3:0,virtio-blk,/, ''), call);
      await lease(basename(dirname(machine.seed)), machine.address, '6a:0:1:2:3:4');
      return { onEnd: () => void machines.halt(machine, '') };
    },
  };
}
