/**
 * `tidemark reconcile`: makes one state equal to another, in one direction. Without `--repair` it tells what
 * it would do.
 *
 * Both states are held while they are compared, so that the source may go on. What the target wrote meanwhile
 * is never overwritten: the changes of such records are refused, and made in the next pass, from the state as
 * it is then. Interrupted at any point, a repetition finishes.
 */

import { assert } from '../base/assert.ts';
import { TidemarkError } from '../base/errors.ts';
import { type DiffCost, diffStates } from '../base/merkle/diff-states.ts';
import type { DecidedDifference } from '../base/merkle/difference.ts';
import { equalBytes } from '../base/merkle/node.ts';
import { COUNTS_KEY } from '../keyvalue/counts.ts';
import { keyValueMachine } from '../keyvalue/machine.ts';
import { type FoundChange, PatchPlan } from '../keyvalue/patch-plan.ts';
import type { StoredState } from '../node/stored-state.ts';
import { differentState, hexOf, settleCounts } from './change-records.ts';
import { OTHER_CLUSTER, requireSameMachine } from './diff.ts';
import { EXIT_CODES } from './exit-code.ts';
import { ExpiredRecords } from './expired-records.ts';
import { count, formatBytes, print } from './output.ts';
import { Progress } from './progress.ts';
import {
  openState,
  openWritable,
  parseTarget,
  type ReadableState,
  type WritableNode,
} from './state-target.ts';

export interface ReconcileOptions {
  readonly from: string;
  readonly to: string;
  readonly repair: boolean;
  readonly json: boolean;
}

/** A target that is written meanwhile may need several; one that is always written never comes to rest. */
const PASSES_MAX = 8;

interface Outcome {
  readonly sameCluster: boolean;
  readonly source: { readonly name: string; readonly root: string };
  readonly target: { readonly name: string; readonly root: string };
  /** Whether they are equal now. */
  readonly equal: boolean;
  /** What was found at first. */
  readonly added: number;
  readonly changed: number;
  readonly deleted: number;
  /** Records that were left alone: of keys that have expired by the clock of the target. */
  readonly expired: number;
  /** Records that were changed in the target. */
  readonly repaired: number;
  readonly passes: number;
  readonly rounds: number;
  readonly nodes: number;
  readonly bytes: number;
}

export async function reconcile(options: ReconcileOptions): Promise<number> {
  const [from, to] = [parseTarget(options.from), parseTarget(options.to)];
  const source = await openState(from);
  try {
    const outcome = options.repair
      ? await repair(source, await openWritable(to))
      : await compare(source, await openState(to));
    if (options.json) print(JSON.stringify(outcome));
    else printOutcome(outcome, options.repair ? 'repair' : 'dry-run');
  } finally {
    await source.close();
  }
  return EXIT_CODES.done;
}

/** What a repair would do. */
async function compare(source: StoredState, target: StoredState | ReadableState): Promise<Outcome> {
  try {
    const found = await pass(source, target, null);
    return outcomeOf({ source, target, first: found, repaired: 0, passes: 1, isEqual: isNothing(found) });
  } finally {
    await target.close();
  }
}

async function repair(source: StoredState, node: WritableNode): Promise<Outcome> {
  try {
    let first: Found | null = null;
    let repaired = 0;
    for (let passes = 1; passes <= PASSES_MAX; passes++) {
      const target = await node.hold();
      const plan = new PatchPlan((changes) => node.patch(changes));
      try {
        const found = await pass(source, target, plan);
        first ??= found;
        if (isNothing(found)) return outcomeOf({ source, target, first, repaired, passes, isEqual: true });
      } finally {
        await target.close();
      }
      await settleCounts(node, plan);
      repaired += plan.changesDone;
    }
  } finally {
    await node.close();
  }
  throw new TidemarkError(
    'TIDEMARK_STATE_DIFFERS',
    `${node.name} is written by others all the time, and did not come to equal ${source.name} in ` +
      `${PASSES_MAX} passes. Stop its clients, and repeat this`,
    { remedy: 'retry', facts: { source: source.name, target: node.name } },
  );
}

interface Found {
  readonly added: number;
  readonly changed: number;
  readonly deleted: number;
  readonly expired: number;
  readonly cost: DiffCost;
}

function isNothing({ added, changed, deleted }: Found): boolean {
  return added + changed + deleted === 0;
}

/** Finds what turns the target into the source, and has it done. */
async function pass(
  source: StoredState,
  target: StoredState | ReadableState,
  plan: PatchPlan | null,
): Promise<Found> {
  requireSameVersion(source, target);
  const progress = new Progress(plan === null ? 'comparing' : 'reconciling', {
    one: 'record',
    many: 'records',
  });
  const counts = { added: 0, changed: 0, deleted: 0, expired: 0 };
  const gone = new ExpiredRecords('now' in target ? target.now : 0);
  const diff = diffStates(target, source, {
    values: plan === null ? 'none' : 'target',
    onRound: (cost) => progress.update(cost.keysPassed, cost.keysTotal),
  });
  const take = async (found: DecidedDifference, isGone: boolean): Promise<void> => {
    counts[isGone ? 'expired' : found.kind]++;
    if (!isGone && plan !== null) await plan.add(changeOf(found));
  };
  try {
    let ofCounts: DecidedDifference | null = null;
    for await (const found of diff) {
      if (equalBytes(found.key, COUNTS_KEY)) ofCounts = found;
      else await take(found, gone.has(found));
    }
    if (ofCounts !== null) await take(ofCounts, gone.hasHashes);
    await plan?.finish();
  } finally {
    progress.end();
  }
  return { ...counts, cost: diff.cost };
}

function changeOf(found: DecidedDifference): FoundChange {
  const before = 'source' in found ? found.source : null;
  if (!('target' in found)) return { key: found.key, before, after: null };
  assert(found.target.kind === 'inline', 'values of the state that is copied are read');
  return { key: found.key, before, after: found.target.bytes };
}

/** @throws TidemarkError TIDEMARK_MACHINE_MISMATCH. */
function requireSameVersion(source: StoredState, target: StoredState): void {
  requireSameMachine(source, target);
  const [{ name, version }, other] = [source.facts.machine, target.facts.machine];
  if (name !== keyValueMachine.name) {
    throw new TidemarkError(
      'TIDEMARK_MACHINE_MISMATCH',
      `the data is of the machine ${name}, and only its own program can change it`,
      { remedy: 'fix-call', facts: { found: name, wanted: keyValueMachine.name } },
    );
  }
  if (version === other.version) return;
  throw differentState(
    `${source.name} has data of version ${version} of the machine, ${target.name} of ${other.version}: ` +
      'bring both to one version first',
    { source: String(version), target: String(other.version) },
  );
}

function outcomeOf(result: {
  readonly source: StoredState;
  readonly target: StoredState;
  readonly first: Found;
  readonly repaired: number;
  readonly passes: number;
  readonly isEqual: boolean;
}): Outcome {
  const { source, target, first, repaired, passes, isEqual } = result;
  const { cost, ...counts } = first;
  return {
    sameCluster: source.facts.clusterId === target.facts.clusterId,
    source: { name: source.name, root: hexOf(source.root) },
    target: { name: target.name, root: hexOf(target.root) },
    equal: isEqual,
    ...counts,
    repaired,
    passes,
    rounds: cost.rounds,
    nodes: cost.nodes.source + cost.nodes.target,
    bytes: cost.bytes.source + cost.bytes.target,
  };
}

function printOutcome(outcome: Outcome, mode: 'repair' | 'dry-run'): void {
  const { source, target, equal, added, changed, deleted, repaired, passes } = outcome;
  if (added + changed + deleted === 0)
    print(`${target.name} and ${source.name} are equal: root ${target.root}`);
  else {
    const wanted = `${added} to add, ${changed} to change, ${deleted} to delete in ${target.name}`;
    print(mode === 'dry-run' ? `${wanted}; --repair does it` : wanted);
  }
  if (mode === 'repair' && equal && repaired > 0) {
    print(`repaired ${count(repaired, 'record')} in ${count(passes, 'pass', 'passes')}: they are equal now`);
  }
  const { expired, rounds, nodes, bytes } = outcome;
  if (expired > 0) print(`${count(expired, 'record')} of keys that have expired there, left alone`);
  print(`${count(nodes, 'node')} read in ${count(rounds, 'round')}, ${formatBytes(bytes)}`);
  if (!outcome.sameCluster) print(OTHER_CLUSTER);
}
