import { z } from 'zod';

/**
 * `mk-ci.yaml`. Defaults live here, units are in the keys, unknown keys are errors. `mk-ci.schema.json` and
 * `docs/reference/configuration.md` are generated from this file (`npm run generate`).
 */

/** Drivers a configuration may name; the registry in `src/drivers` has one entry for each, which a test compares. */
export const DRIVER_NAMES = [
  'local',
  'docker',
  'podman',
  'kvm2',
  'hyperv',
  'vfkit',
  'qemu',
  'virtualbox',
  'hyperkit',
  'parallels',
  'vmware',
  'ssh',
  'none',
  'existing',
] as const;

/** Drivers without a container runtime inside: that axis of the matrix does not apply to them. */
export const DRIVERS_WITHOUT_RUNTIME: readonly string[] = ['local', 'existing'];

export const CONTAINER_RUNTIMES = ['containerd', 'docker', 'cri-o'] as const;

const FORMAT_NAMES = [
  'auto',
  'go-json',
  'go-text',
  'junit',
  'ctrf',
  'tap',
  'vitest-json',
  'jest-json',
  'mocha-json',
  'playwright-json',
  'gopogh-summary',
  'xunit',
  'nunit',
  'trx',
  'mk-ci',
] as const;

const driver = z.enum(DRIVER_NAMES);
const containerRuntime = z.enum(CONTAINER_RUNTIMES);
const kubernetesVersion = z
  .string()
  .regex(/^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/, { error: 'a full version with v, such as v1.36.3' })
  .describe('A Kubernetes version, such as v1.36.3');
const nodes = z.int().min(0).max(1000).describe('Nodes that pods can run on; the driver local simulates them');
const oneOrMore = <T extends z.ZodType>(item: T) => z.union([item, z.array(item).min(1)]);
const name = (what: string) =>
  z
    .string()
    .regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, {
      error: 'letters, digits, dots, dashes and underscores, at most 63, a letter or digit first and last',
    })
    .describe(what);

const combination = z.strictObject({
  driver: driver.optional(),
  containerRuntime: containerRuntime.optional(),
  kubernetes: kubernetesVersion.optional(),
  nodes: nodes.optional(),
});

export const environmentSchema = z
  .strictObject({
    name: name('Name of the environment; only for an entry that gives one environment').optional(),
    driver: oneOrMore(driver).describe('What makes the cluster'),
    containerRuntime: oneOrMore(containerRuntime).optional().describe('Runtime in the nodes; default containerd'),
    kubernetes: oneOrMore(kubernetesVersion).optional().describe('Default: the top-level kubernetes'),
    nodes: oneOrMore(nodes).optional().describe('Default 1'),
    exclude: z
      .array(combination)
      .optional()
      .describe('Combinations to leave out; a combination matches when all its keys do'),
    include: z
      .array(combination)
      .optional()
      .describe('Combinations to add; keys left out are those of the first combination'),
    pool: z
      .strictObject({ min: z.int().min(0).max(16).optional(), max: z.int().min(0).max(16).optional() })
      .optional()
      .describe('Prepared clusters kept frozen for suites with cluster: fresh'),
    options: z
      .record(z.string(), z.unknown())
      .optional()
      .describe('Settings of the driver, such as kubeconfig and context'),
  })
  .describe('One entry of the matrix: every list is an axis');

export const suiteSchema = z
  .strictObject({
    name: name('Name of the suite, unique in the file'),
    command: z
      .union([z.string().min(1), z.array(z.string()).min(1)])
      .describe('A string runs in a shell (sh -c), a list is program and arguments'),
    format: z.enum(FORMAT_NAMES).default('auto').describe('Format of standard output; auto looks at the content'),
    results: oneOrMore(z.string().min(1))
      .optional()
      .describe('Result files the suite writes, as globs below $ARTIFACTS, read in place of standard output'),
    workingDirectory: z.string().min(1).default('.').describe('Relative to the configuration file'),
    timeoutMinutes: z
      .number()
      .positive()
      .max(24 * 60)
      .default(30),
    retries: z
      .int()
      .min(0)
      .max(10)
      .default(0)
      .describe('How often failed tests run again, where the tool can select them'),
    shards: z.int().min(1).max(100).default(1),
    environments: z
      .array(z.string().min(1))
      .default(['*'])
      .describe('Globs; a glob matches the name of an environment or the name of its driver'),
    cluster: z.enum(['shared', 'fresh']).default('shared').describe('fresh: a cluster nobody else used'),
    exclusive: z.array(z.string().min(1)).default([]).describe('Never beside another suite with one of these words'),
    env: z.record(z.string(), z.string()).default({}).describe('Environment variables for the command'),
    cpus: z.number().positive().max(256).default(1).describe('Processors the command keeps busy, for admission'),
    memoryMiB: z.int().positive().default(512).describe('Memory the command needs, for admission'),
  })
  .describe('A command and the format of its output');

const rate = z.number().min(0).max(1);

export const configSchema = z
  .strictObject({
    $schema: z.string().optional().describe('For editors; not used'),
    version: z.literal(1).describe('Version of this file format'),
    kubernetes: kubernetesVersion.default('v1.36.3'),
    environments: z
      .array(environmentSchema)
      .min(1)
      .default([{ driver: 'local' }]),
    suites: z.array(suiteSchema).min(1),
    flake: z
      .strictObject({
        database: z
          .string()
          .min(1)
          .default('.mk-ci/flake.db')
          .describe('File relative to the configuration, or postgres://…'),
      })
      .prefault({}),
    github: z
      .strictObject({
        comment: z.boolean().default(true),
        issues: z
          .strictObject({ openAt: rate.default(0.05).describe('Lower bound of the flake rate, 0 to 1') })
          .prefault({}),
      })
      .prefault({}),
  })
  .describe('Configuration of mk-ci');

export type ConfigFile = z.infer<typeof configSchema>;
export type SuiteConfig = z.infer<typeof suiteSchema>;
export type EnvironmentEntry = z.infer<typeof environmentSchema>;
export type Combination = z.infer<typeof combination>;
