import type { OwnedFolder } from '../../files.js';
import type { LabelledProcess, ProcessIdentity } from '../../process.js';
import type { JournalContent, JournalEntry } from '../journal.js';
import { readOwnership, type Ownership } from '../ownership.js';
import type { PortLeaseFile } from '../ports.js';

/**
 * What `gc` takes for a leftover, and what it never touches.
 *
 * A thing belongs to an owner process, or to nobody (a cluster started by hand). It is a leftover
 *
 * - when it has an owner and exactly that process, by number and start time, has ended;
 * - when it has no owner and its expiry has passed, or the folder of its cluster is gone, so that nobody can manage it;
 * - when it is a machine of a cluster whose record names other machines, and nobody alive has noted that he makes it: a
 *   restore or a node that was not finished.
 *
 * Labels are inherited: a daemon that a suite started and left behind carries the labels of its run and can only have
 * them from a descendant of it. It is a leftover once the run has ended, like the rest of the run. What must live longer
 * has to be started without `MK_CI_LABELS`.
 *
 * Never touched: things of a living owner; this process, its ancestors and its process group, whatever their labels say
 * (`gc` may be called from a shell that a suite opened); processes of other PID namespaces (a container engine
 * owns them, and their owners' numbers mean nothing here); things noted in another place (see `placeOfProcesses`);
 * things whose owner is not known.
 */
export interface Seen {
  readonly now: Date;
  /** As `placeOfProcesses` gives it. */
  readonly place: string;
  readonly journal: JournalContent;
  readonly processes: readonly SeenProcess[];
  readonly clusterFolders: readonly SeenFolder[];
  /** They say themselves who made them. */
  readonly temporaryFolders: readonly OwnedFolder[];
  readonly portLeases: readonly PortLeaseFile[];
  readonly resources: readonly SeenResource[];
  /** This process, its ancestors and the members of its group. */
  readonly ownPids: ReadonlySet<number>;
  /** Folders of the journal and of labels that exist. */
  readonly existingFolders: ReadonlySet<string>;
  readonly isAlive: (identity: ProcessIdentity) => boolean;
}

export interface SeenProcess extends LabelledProcess {
  /** Runs in the PID namespace of this process. */
  readonly isInThisNamespace: boolean;
}

/** Folder of a cluster with what its own files say; `ownership` is absent when they can not be read. */
export interface SeenFolder {
  readonly path: string;
  readonly name: string;
  readonly ownership?: Ownership;
  /** Names of the machines that are the cluster; absent for one that has none. */
  readonly machines?: readonly string[];
}

/** Container, volume, network or machine that a driver found by its labels. */
export interface SeenResource {
  readonly driver: string;
  readonly type: string;
  readonly name: string;
  readonly ownership: Ownership;
}

/** One step of tidying up. `why` is a sentence for people. */
export type GcAction = { readonly why: string; readonly cluster?: string; readonly runId?: string } & (
  | { readonly kind: 'end-process'; readonly identity: ProcessIdentity; readonly command: string }
  | {
      readonly kind: 'remove-resource';
      readonly driver: string;
      readonly type: string;
      readonly name: string;
      /** Notes of the journal that are done with it. */
      readonly entryIds: readonly string[];
    }
  | { readonly kind: 'remove-folder'; readonly path: string }
  | { readonly kind: 'release-port'; readonly port: number; readonly path: string }
  /** A note of the journal about something that no longer exists. */
  | { readonly kind: 'forget'; readonly id: string; readonly what: string }
);

/** Something with a label or a note that stays. */
export interface Kept {
  readonly what: string;
  readonly why: string;
}

export interface GcPlan {
  /** In the order in which they must be done. */
  readonly actions: readonly GcAction[];
  readonly kept: readonly Kept[];
}

export function planGc(seen: Seen): GcPlan {
  const actions: GcAction[] = [];
  const kept: Kept[] = [];
  const add = (what: string, verdict: Verdict, about: Ownership, act: (tags: Tags) => GcAction): void => {
    if (verdict.isLeftover) actions.push(act({ why: verdict.why, ...tagsOf(about) }));
    else kept.push({ what, why: verdict.why });
  };

  const planned = new Set<number>();
  const endProcess = (identity: ProcessIdentity, command: string, verdict: Verdict, about: Ownership): void => {
    if (verdict.isLeftover && planned.has(identity.pid)) return;
    if (verdict.isLeftover) planned.add(identity.pid);
    add(`process ${identity.pid} ${command}`, verdict, about, (tags) => ({
      kind: 'end-process',
      identity: { pid: identity.pid, startedAt: identity.startedAt },
      command,
      ...tags,
    }));
  };
  for (const process of seen.processes) {
    const ownership = readOwnership(process.labels);
    endProcess(process, process.command, judgeProcess(process, ownership, seen), ownership);
  }

  const noted = judgeJournal(seen);
  for (const { entry, verdict } of noted) {
    const { thing, ownership } = entry;
    if (thing.kind !== 'process' || thing.identity === undefined || !seen.isAlive(thing.identity)) continue;
    const safe = verdict.isLeftover && seen.ownPids.has(thing.identity.pid) ? OWN : verdict;
    if (!seen.processes.some((process) => process.pid === thing.identity?.pid)) {
      endProcess(thing.identity, thing.command, safe, ownership);
    }
  }

  planResources(seen, noted, add);
  planFolders(seen, noted, add);

  for (const lease of seen.portLeases) {
    add(
      `port ${lease.port}`,
      seen.isAlive(lease.owner) ? stays(`held by process ${lease.owner.pid}`) : ownerEnded(lease.owner),
      {},
      (tags) => ({ kind: 'release-port', port: lease.port, path: lease.path, ...tags }),
    );
  }

  for (const { entry, verdict } of noted) {
    if (entry.place !== seen.place || !isForgettable(entry, verdict, seen)) continue;
    const what = describeThing(entry);
    actions.push({ kind: 'forget', id: entry.id, what, why: 'it no longer exists', ...tagsOf(entry.ownership) });
  }
  for (const path of seen.journal.broken) kept.push({ what: `journal file ${path}`, why: 'it can not be read' });
  return { actions, kept };
}

/** Whether something with this ownership is a leftover. */
export function judge(ownership: Ownership, seen: Pick<Seen, 'now' | 'isAlive' | 'existingFolders'>): Verdict {
  const { owner, expiresAt, folder, runId } = ownership;
  if (owner !== undefined) {
    return seen.isAlive(owner)
      ? stays(`its ${runId === undefined ? 'owner' : 'run'}, process ${owner.pid}, is alive`)
      : ownerEnded(owner, runId);
  }
  if (expiresAt !== undefined && Date.parse(expiresAt) <= seen.now.getTime())
    return leftover(`expired at ${expiresAt}`);
  if (folder !== undefined && !seen.existingFolders.has(folder))
    return leftover(`its cluster folder ${folder} is gone`);
  if (folder === undefined && expiresAt === undefined) return stays('nothing says to whom it belongs');
  return stays('started by hand, kept until it is deleted');
}

export interface Verdict {
  readonly isLeftover: boolean;
  readonly why: string;
}

type Tags = Pick<GcAction, 'why' | 'cluster' | 'runId'>;
type Add = (what: string, verdict: Verdict, about: Ownership, act: (tags: Tags) => GcAction) => void;
type Noted = readonly { readonly entry: JournalEntry; readonly verdict: Verdict }[];

const leftover = (why: string): Verdict => ({ isLeftover: true, why });
const stays = (why: string): Verdict => ({ isLeftover: false, why });
const OWN = stays('this command runs under it');

function ownerEnded({ pid }: ProcessIdentity, runId?: string): Verdict {
  return leftover(
    runId === undefined ? `its owner, process ${pid}, has ended` : `run ${runId} (process ${pid}) has ended`,
  );
}

function judgeProcess(process: SeenProcess, ownership: Ownership, seen: Seen): Verdict {
  if (seen.ownPids.has(process.pid)) return OWN;
  if (!process.isInThisNamespace) return stays('it runs in a container');
  return judge(ownership, seen);
}

function judgeJournal(seen: Seen): Noted {
  return seen.journal.entries.map((entry) => ({
    entry,
    verdict: entry.place === seen.place ? judge(entry.ownership, seen) : stays(`noted elsewhere: ${entry.place}`),
  }));
}

function planResources(seen: Seen, noted: Noted, add: Add): void {
  const keyOf = (resource: { driver: string; type: string; name: string }): string =>
    `${resource.driver} ${resource.type} ${resource.name}`;
  const entryIds = new Map<string, string[]>();
  const found = new Set(seen.resources.map(keyOf));
  // Labels can not be changed, owners can: that of a cluster is in its folder.
  const owners = new Map(seen.clusterFolders.map(({ path, ownership }) => [path, ownership?.owner]));
  const machines = new Map(seen.clusterFolders.map((folder) => [folder.path, folder.machines]));
  const isBeingMade = (resource: SeenResource): boolean =>
    seen.journal.entries.some(
      ({ thing, ownership: { owner }, place }) =>
        thing.kind === 'resource' &&
        keyOf(thing) === keyOf(resource) &&
        (place !== seen.place || (owner !== undefined && seen.isAlive(owner))),
    );
  const judgeResource = (resource: SeenResource): Verdict => {
    const { name, ownership } = resource;
    const owner = ownership.owner ?? owners.get(ownership.folder ?? '');
    const verdict = judge(owner === undefined ? ownership : { ...ownership, owner }, seen);
    const known = machines.get(ownership.folder ?? '');
    if (verdict.isLeftover || known === undefined || known.includes(name) || isBeingMade(resource)) return verdict;
    return leftover(`its cluster ${ownership.cluster ?? ''} consists of other machines`);
  };
  // Removing what is gone succeeds, so what only the journal knows is removed unseen.
  const resources = seen.resources.map((resource) => ({ ...resource, verdict: judgeResource(resource) }));
  for (const { entry, verdict } of noted) {
    if (entry.thing.kind !== 'resource') continue;
    const key = keyOf(entry.thing);
    entryIds.set(key, [...(entryIds.get(key) ?? []), entry.id]);
    if (!found.has(key)) resources.push({ ...entry.thing, ownership: entry.ownership, verdict });
    found.add(key);
  }
  for (const resource of resources) {
    const { driver, type, name, ownership, verdict } = resource;
    const key = keyOf(resource);
    add(key, verdict, ownership, (tags) => ({
      kind: 'remove-resource',
      driver,
      type,
      name,
      entryIds: entryIds.get(key) ?? [],
      ...tags,
    }));
  }
}

function planFolders(seen: Seen, noted: Noted, add: Add): void {
  const byPath = new Map<string, { readonly verdict: Verdict; readonly ownership: Ownership }>();
  for (const { path, ownership, name } of seen.clusterFolders) {
    const verdict = judge(ownership === undefined ? {} : { ...ownership, folder: path }, seen);
    byPath.set(path, { verdict, ownership: { cluster: name, ...(ownership && { ...ownership, folder: path }) } });
  }
  for (const { entry, verdict } of noted) {
    const { thing, ownership } = entry;
    if (thing.kind !== 'cluster-folder') continue;
    if (!seen.existingFolders.has(thing.path)) continue;
    // What a folder says of itself is newer than the note written before it was made.
    if (byPath.get(thing.path)?.ownership.folder !== undefined) continue;
    byPath.set(thing.path, { verdict, ownership });
  }
  for (const { path, place, owner } of seen.temporaryFolders) {
    const verdict = place === seen.place ? judge({ owner }, seen) : stays(`made elsewhere: ${place}`);
    byPath.set(path, { verdict, ownership: {} });
  }
  for (const [path, { verdict, ownership }] of byPath) {
    add(`folder ${path}`, verdict, ownership, (tags) => ({ kind: 'remove-folder', path, ...tags }));
  }
}

/** The thing is not there, and nobody is about to make it. */
function isForgettable({ thing, ownership }: JournalEntry, verdict: Verdict, seen: Seen): boolean {
  if (ownership.owner !== undefined && seen.isAlive(ownership.owner)) return false;
  switch (thing.kind) {
    case 'process':
      // Its maker was killed before it could note the process; if it started, its labels tell.
      return thing.identity === undefined ? verdict.isLeftover : !seen.isAlive(thing.identity);
    case 'port-lease':
      return !seen.portLeases.some((lease) => lease.port === thing.port);
    case 'cluster-folder':
      return !seen.existingFolders.has(thing.path);
    case 'resource':
      return false; // only its driver knows; the note goes with the removal
  }
}

function describeThing({ thing }: JournalEntry): string {
  switch (thing.kind) {
    case 'process':
      return `process ${thing.identity?.pid ?? '(not started)'} ${thing.command}`;
    case 'port-lease':
      return `port ${thing.port}`;
    case 'cluster-folder':
      return `folder ${thing.path}`;
    case 'resource':
      return `${thing.driver} ${thing.type} ${thing.name}`;
  }
}

function tagsOf({ cluster, runId }: Ownership): Pick<Tags, 'cluster' | 'runId'> {
  return { ...(cluster === undefined ? {} : { cluster }), ...(runId === undefined ? {} : { runId }) };
}
