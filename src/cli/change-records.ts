/** What the verbs that change a state by its records have in common. */

import { bufferOf } from '../base/bytes.ts';
import { sha256 } from '../base/digest.ts';
import { TidemarkError } from '../base/errors.ts';
import { equalBytes } from '../base/merkle/node.ts';
import { COUNTS_KEY } from '../keyvalue/counts.ts';
import type { PatchPlan } from '../keyvalue/patch-plan.ts';
import type { ReadableState, WritableNode } from './state-target.ts';

export function hexOf(root: Uint8Array): string {
  return bufferOf(root).toString('hex');
}

/** The record of a key in a state of a node. */
export async function recordOf(state: ReadableState, key: Uint8Array): Promise<Uint8Array | null> {
  const [record] = await state.read([{ kind: 'value', key }]);
  return record ?? null;
}

/** The last step of changing a state: which hash and which session comes next, once all records are right. */
export async function settleCounts(node: WritableNode, plan: PatchPlan): Promise<void> {
  if (plan.counts === null || plan.conflicts > 0) return;
  const { after } = plan.counts;
  const state = await node.hold();
  const found = await recordOf(state, COUNTS_KEY);
  await state.close();
  const isRight = found === null || after === null ? found === after : equalBytes(found, after);
  if (isRight) return;
  await node.patch([{ key: COUNTS_KEY, before: found === null ? null : sha256(found), after }]);
}

/** Roots of two clusters differ, whatever the content: a delta fits one only. */
export function differentState(message: string, facts: Record<string, string>): TidemarkError {
  return new TidemarkError('TIDEMARK_STATE_DIFFERS', message, { remedy: 'fix-call', facts });
}
