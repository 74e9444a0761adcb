import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { MkCiError, isMkCiError, messageOf } from '../../../../errors.js';
import { lastLines } from '../../../../exec.js';
import { keepFailedStart, withLogs } from '../../../failed-starts.js';
import type { ClusterFolder, ClusterRecord } from '../../../folder.js';
import { saveClusterLogs } from '../../../logs.js';
import type { ClusterCall } from '../../../manager.js';
import { codeOfFailure, DISK_FULL_FAILURE, MEMORY_FAILURE, recogniseFailure } from '../../known-failures.js';
import { allOf } from '../all-of.js';
import { kubeadmClient } from '../nodes/cluster-nodes.js';
import type { KubeadmContext } from '../context.js';
import { parseNodeFacts } from '../render/node-facts.js';
import { nodeLogsLimitMs, saveNodeLogs } from '../nodes/node-logs.js';
import { readNodeFailure, renderFailureScript, type NodeFailure } from '../render/node-scripts.js';
import { planRuntime } from '../render/render-runtimes.js';
import { readSettings } from '../settings.js';

type StartContext = Pick<KubeadmContext, 'log' | 'machines' | 'now' | 'stateFolder' | 'drivers'>;

const DIAGNOSE_MS = 20_000;
/** What no component tells itself: it had no time to, or could not write it. */
const LACKS = {
  memory: 'the kernel ended processes of the node for want of memory',
  disk: 'no space left on the disk of the node',
} as const;
const LACK_FAILURES = { memory: MEMORY_FAILURE, disk: DISK_FULL_FAILURE } as const;

/** The error of a start in the words of the component that is to blame, with its logs kept. An interrupt ends the asking. */
export async function explain(
  context: StartContext,
  error: unknown,
  record: ClusterRecord,
  call: ClusterCall,
): Promise<unknown> {
  const { log, machines, now, stateFolder } = context;
  if (call.signal.aborted) return error;
  const isOfNodes = isMkCiError(error) && ['K8S_', 'HOST_COMMAND_'].some((prefix) => error.code.startsWith(prefix));
  if (!isOfNodes) return error;
  const limit = AbortSignal.any([call.signal, AbortSignal.timeout(DIAGNOSE_MS)]);
  let result: unknown = error;
  try {
    const isExplained = error.details['component'] !== undefined;
    const nodes = isExplained ? [] : await machines.attach(record, limit);
    const { units } = planRuntime(readSettings(record.spec), parseNodeFacts(''));
    for (const { machine, record: entry } of nodes) {
      const asked = await machine.exec(['sh'], { input: renderFailureScript(units), signal: limit });
      const { component, lines, lacks } = readNodeFailure(asked.stdout);
      const said = typeof error.details['output'] === 'string' ? lastLines(error.details['output'], 4) : [];
      const known = lacks === undefined ? recogniseFailure(lines) : LACK_FAILURES[lacks];
      const isTimeout = error.code === 'K8S_START_TIMEOUT' || error.code === 'HOST_COMMAND_TIMEOUT';
      const stopped = isTimeout ? error.message : (said.at(-1) ?? error.message);
      result = new MkCiError(codeOfFailure(known, isTimeout ? 'K8S_START_TIMEOUT' : 'K8S_COMPONENT_FAILED'), {
        message: `${component} on ${entry.node}: ${whatFailed(stopped, lines, lacks)}`,
        ...(known === undefined ? {} : { advice: known.advice }),
        cause: error,
        details: { component, node: entry.node, known: known?.kind, output: lines.join('\n') },
      });
      break; // workers only wait for the control plane, except when they are the ones that fail
    }
  } catch (second) {
    log.warn('the nodes of a cluster that did not start could not be asked why', { error: messageOf(second) });
    // Where the disk is full, nothing more can be run in a node, and not every engine says why.
    if (recogniseFailure([wordsOf(second), wordsOf(error)]) === DISK_FULL_FAILURE) {
      result = new MkCiError('HOST_DISK_FULL', {
        message: `${record.spec.name}: ${whatFailed(error.message, [], 'disk')}`,
        advice: DISK_FULL_FAILURE.advice,
        cause: new AggregateError([error, second]),
      });
    }
  }
  const kept = await keepFailedStart({ stateFolder, name: record.spec.name, now: now() }, async (target) => {
    const limitMs = nodeLogsLimitMs(context.drivers.get(record.spec.driver).info);
    const end = AbortSignal.any([call.signal, AbortSignal.timeout(limitMs + 5000)]);
    try {
      await saveAll(context, record, call.paths, target, end);
    } catch (error) {
      if (!end.aborted) throw error; // what came until then is kept
    }
  });
  return withLogs(result, kept);
}

/** Logs of the cluster and of all its nodes, as far as they can be had. */
export async function saveAll(
  context: Pick<KubeadmContext, 'machines' | 'drivers'>,
  record: ClusterRecord,
  paths: ClusterFolder,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const { machines, drivers } = context;
  const operations = machines.operationsOf(record.spec);
  const limitMs = nodeLogsLimitMs(drivers.get(record.spec.driver).info);
  const state = await machines.stateOf(record, paths, signal).catch(() => 'broken' as const);
  using client = state !== 'running' || record.server === '' ? undefined : await kubeadmClient(paths, record.server);
  await allOf([
    saveClusterLogs({
      name: record.spec.name,
      paths,
      record,
      target,
      signal,
      ...(client === undefined ? {} : { client }),
    }),
    ...(record.machines ?? []).map(async ({ name }) => {
      const folder = join(target, name);
      try {
        await saveNodeLogs(await operations.attach(name, signal), folder, { limitMs, signal });
      } catch (error) {
        signal.throwIfAborted();
        await mkdir(folder, { recursive: true });
        await writeFile(join(folder, 'missing.txt'), `${messageOf(error)}\n`);
      }
    }),
  ]);
}

/** What stopped the start: what the node lacked, or the last words of the component that is to blame. */
function whatFailed(stopped: string, lines: readonly string[], lacks: NodeFailure['lacks']): string {
  if (lacks !== undefined) return `${LACKS[lacks]}; ${shorten(stopped)}`;
  return [stopped, ...lines.slice(-1)].map(shorten).join('; its last words: ');
}

/** The message, and what the command said that failed. */
function wordsOf(error: unknown): string {
  const output = isMkCiError(error) && typeof error.details['output'] === 'string' ? error.details['output'] : '';
  return `${messageOf(error)}\n${output}`;
}

function shorten(text: string): string {
  return text.trim().slice(0, 300);
}
