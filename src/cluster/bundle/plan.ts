import type { BundlePart, BundleProgram } from './bundle.js';
import {
  BUNDLE_PARTS,
  COMPONENTS,
  programsOf,
  type Component,
  type Platform,
  type ProgramDefinition,
} from './catalogue.js';

/** What is to be done for a bundle. Pure. */

export interface PlannedProgram {
  readonly name: BundleProgram;
  readonly part: BundlePart;
  readonly component: Component;
  /** Of the component. */
  readonly version: string;
  /** `bundle`: in the cached bundle; `finished`: got earlier, only to be put in; `missing`: the sources are asked. */
  readonly state: 'bundle' | 'finished' | 'missing';
}

export interface BundlePlan {
  readonly kubernetesVersion: string;
  readonly platform: Platform;
  /** Parts that the bundle will have: those wanted and those it has already. */
  readonly parts: readonly BundlePart[];
  /** Nothing is to be done. */
  readonly complete: boolean;
  readonly programs: readonly PlannedProgram[];
  /** Names of the sources in the order in which they are asked; empty when nothing is missing. */
  readonly sources: readonly string[];
}

export interface PlanInput {
  readonly kubernetesVersion: string;
  readonly platform: Platform;
  readonly parts: readonly BundlePart[];
  /** Parts and programs of the best bundle in the cache; empty when there is none. */
  readonly cached: { readonly parts: readonly BundlePart[]; readonly programs: readonly BundleProgram[] };
  /** Programs that are finished outside of a bundle. */
  readonly finished: readonly BundleProgram[];
  readonly sources: readonly string[];
}

export function planBundle(input: PlanInput): BundlePlan {
  const { kubernetesVersion, platform, cached, finished } = input;
  const parts = BUNDLE_PARTS.filter((part) => input.parts.includes(part) || cached.parts.includes(part));
  const stateOf = ({ name }: ProgramDefinition): PlannedProgram['state'] =>
    cached.programs.includes(name) ? 'bundle' : finished.includes(name) ? 'finished' : 'missing';
  const programs = programsOf(parts).map((program): PlannedProgram => ({
    name: program.name,
    part: program.part,
    component: program.component,
    version: COMPONENTS[program.component].versionFor(kubernetesVersion),
    state: stateOf(program),
  }));
  return {
    kubernetesVersion,
    platform,
    parts,
    complete: programs.every(({ state }) => state === 'bundle'),
    programs,
    sources: programs.some(({ state }) => state === 'missing') ? input.sources : [],
  };
}
