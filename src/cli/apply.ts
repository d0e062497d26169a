/**
 * `tidemark apply`: brings a state forward by deltas, each checked before anything is changed: that it is
 * whole, and that it begins where the state is. History is never cut: the changes are entries in the log of
 * the node.
 *
 * An application that was interrupted is finished by its repetition: every record is then as before or as
 * after, and only those as before are changed.
 */

import { equalBytes } from '../base/merkle/node.ts';
import { COUNTS_KEY } from '../keyvalue/counts.ts';
import { type FoundChange, PatchPlan } from '../keyvalue/patch-plan.ts';
import { isLargeHead } from '../keyvalue/record-check.ts';
import { differentState, hexOf, recordOf, settleCounts } from './change-records.ts';
import { type DeltaChange, type DeltaFile, openDelta } from './delta-file.ts';
import { EXIT_CODES } from './exit-code.ts';
import { count, print } from './output.ts';
import { Progress } from './progress.ts';
import { openWritable, parseTarget, type ReadableState, type WritableNode } from './state-target.ts';

interface Applied {
  readonly file: string;
  readonly root: string;
  /** Records that were changed; 0 when the state was there already. */
  readonly changes: number;
}

export async function apply(
  target: string,
  paths: readonly string[],
  { json }: { readonly json: boolean },
): Promise<number> {
  const deltas: DeltaFile[] = [];
  for (const path of paths) deltas.push(await openDelta(path));
  requireChain(deltas);
  const node = await openWritable(parseTarget(target));
  const applied: Applied[] = [];
  try {
    const first = await firstToApply(node, deltas);
    for (const [at, delta] of deltas.entries()) {
      const changes = at < first ? 0 : await applyOne(node, delta);
      applied.push({ file: delta.path, root: delta.header.target.root, changes });
    }
  } finally {
    await node.close();
  }
  if (json) print(JSON.stringify({ node: node.name, applied }));
  else for (const one of applied) print(describe(one));
  return EXIT_CODES.done;
}

function describe({ file, root, changes }: Applied): string {
  return changes === 0
    ? `${file}: the state is there already`
    : `${file}: ${count(changes, 'record')} changed, root ${root}`;
}

/** Each begins where the one before ends. */
function requireChain(deltas: readonly DeltaFile[]): void {
  for (const [at, { path, header }] of deltas.entries()) {
    const before = deltas[at - 1];
    if (before === undefined || before.header.target.root === header.source.root) continue;
    throw differentState(
      `${path} begins with the state ${header.source.root}, and ${before.path}, before it, ends with ` +
        `${before.header.target.root}. Nothing was changed; name the deltas in their order, without a gap`,
      { file: path, source: header.source.root, before: before.header.target.root },
    );
  }
}

/**
 * Which delta the state of a node is before, or in the middle of; their number when it is behind the last.
 */
async function firstToApply(node: WritableNode, deltas: readonly DeltaFile[]): Promise<number> {
  const state = await node.hold();
  try {
    const root = hexOf(state.root);
    const [first, last] = [deltas[0], deltas.at(-1)];
    if (first === undefined || last === undefined || last.header.target.root === root) return deltas.length;
    const at = deltas.findIndex(({ header }) => header.source.root === root);
    if (at >= 0) return at;
    for (const [index, delta] of deltas.entries()) if (await isWithin(state, delta)) return index;
    throw differentState(
      `the state of ${node.name} has the root ${root}, and ${first.path} begins with ` +
        `${first.header.source.root}: it is for another state. Nothing was changed`,
      { root, source: first.header.source.root, file: first.path },
    );
  } finally {
    await state.close();
  }
}

/**
 * Whether every record is as before or as after a delta, and some are as only its application leaves them:
 * then that was begun. Records that all are as before are those of another state, which differs elsewhere.
 */
async function isWithin(state: ReadableState, delta: DeltaFile): Promise<boolean> {
  let isBegun = false;
  for await (const change of delta.changes()) {
    const stage = await stageOf(state, change);
    if (stage === 'other') return false;
    if (stage !== 'before' && !equalBytes(change.key, COUNTS_KEY)) isBegun = true; // Counts follow the rest.
  }
  return isBegun;
}

/** As what a record stands there. */
async function stageOf(
  state: ReadableState,
  change: DeltaChange,
): Promise<'before' | 'after' | 'hidden' | 'other'> {
  const { key, before, after } = change;
  const found = await recordOf(state, key);
  const isNow = (bytes: Uint8Array | null): boolean =>
    found === null || bytes === null ? found === bytes : equalBytes(found, bytes);
  if (isNow(before?.bytes ?? null)) return 'before';
  if (isNow(after)) return 'after';
  // Heads are taken out for a while, and the counts follow the records: patch-plan.ts, patch.ts.
  if (found === null && before !== null && isLargeHead(before.bytes)) return 'hidden';
  return equalBytes(key, COUNTS_KEY) ? 'before' : 'other';
}

/** Returns how many records were changed. */
async function applyOne(node: WritableNode, delta: DeltaFile): Promise<number> {
  const { counts, header } = delta;
  const total = counts.added + counts.changed + counts.deleted;
  const progress = new Progress('applying', { one: 'record', many: 'records' });
  const plan = new PatchPlan((changes) => node.patch(changes));
  const state = await node.hold();
  const isBegun = hexOf(state.root) !== header.source.root;
  try {
    let done = 0;
    for await (const change of delta.changes()) {
      const left = isBegun ? await whatIsLeft(state, change) : change;
      if (left !== null) await plan.add(left);
      progress.update(++done, total);
    }
    await plan.finish();
  } finally {
    progress.end();
    await state.close();
  }
  await settleCounts(node, plan);
  await requireTarget(node, delta);
  return plan.changesDone;
}

async function requireTarget(node: WritableNode, { path, header }: DeltaFile): Promise<void> {
  const state = await node.hold();
  const root = hexOf(state.root);
  await state.close();
  if (root === header.target.root) return;
  throw differentState(
    `after ${path} the state of ${node.name} has the root ${root}, not ${header.target.root}: somebody ` +
      'else wrote to it since the delta was begun. Stop that, and bring it to the state you want by ' +
      'tidemark reconcile',
    { root, target: header.target.root, file: path },
  );
}

async function whatIsLeft(state: ReadableState, change: DeltaChange): Promise<FoundChange | null> {
  const stage = await stageOf(state, change);
  if (stage === 'after') return null;
  return stage === 'hidden' ? { ...change, before: null } : change;
}
