import type { Environment } from '../../config/index.js';
import type { Limits, Load } from '../admission.js';
import type { PlannedCell, RunPlan } from '../plan.js';
import { seconds } from './line-text.js';
import { formatTable } from './summary.js';

/** The plan for people; ends with a line feed. */
export function formatPlan(plan: RunPlan, limits: Limits, clusterLoad: (environment: Environment) => Load): string {
  const cells = formatTable(
    ['cell', 'cluster', 'timeout', 'retries', 'expected', 'command'],
    plan.cells.map((cell) => [
      cell.id,
      cell.suiteConfig.cluster,
      seconds(cell.timeoutMs),
      String(cell.retries),
      cell.expectedMs === undefined ? '–' : seconds(cell.expectedMs),
      commandText(cell),
    ]),
  );
  const environments = formatTable(
    ['environment', 'driver', 'runtime', 'kubernetes', 'nodes', 'memory MiB'],
    plan.environments.map((environment) => [
      environment.name,
      environment.driver,
      environment.containerRuntime ?? '–',
      environment.kubernetesVersion,
      String(environment.nodes),
      String(clusterLoad(environment).memoryMiB),
    ]),
  );
  const inotify = limits.inotify === undefined ? '' : ` and ${limits.inotify} instances of inotify`;
  const most = `At most ${limits.jobs} cells at a time, within ${limits.memoryMiB} MiB${inotify}.`;
  return `${[...environments, '', ...cells, '', most, ...plan.warnings.map((text) => `warning: ${text}`)].join('\n')}\n`;
}

/** The plan for programs. */
export function planJson(plan: RunPlan, limits: Limits): Record<string, unknown> {
  return {
    environments: plan.environments,
    cells: plan.cells.map((cell) => ({
      id: cell.id,
      environment: cell.environment,
      suite: cell.suite,
      ...(cell.shard === undefined ? {} : { shard: cell.shard }),
      command: cell.suiteConfig.command,
      cluster: cell.suiteConfig.cluster,
      exclusive: cell.suiteConfig.exclusive,
      timeoutMs: cell.timeoutMs,
      retries: cell.retries,
      ...(cell.expectedMs === undefined ? {} : { expectedMs: cell.expectedMs }),
    })),
    clusters: plan.clusters,
    limits: { jobs: limits.jobs, memoryMiB: limits.memoryMiB, inotify: limits.inotify },
    warnings: plan.warnings,
  };
}

function commandText(cell: PlannedCell): string {
  const { command } = cell.suiteConfig;
  const text = (typeof command === 'string' ? command : command.join(' ')).replaceAll(/\s+/g, ' ').trim();
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
