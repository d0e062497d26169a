/**
 * Finds what keys had before they were written blindly: while part of the state is not in memory, a write
 * does not look (cold-leaves.ts), and its change says UNKNOWN_RECORD. The tree knows.
 */

import type { MergedChanges } from './merged-changes.ts';
import { NO_RECORD, UNKNOWN_RECORD } from './record-table.ts';
import { NO_NODE } from './tree-nodes.ts';
import { leafFor, type ReadableTree, recordIn } from './tree-records.ts';

/** Leaves read between two steps: each takes some 20 microseconds, mostly of the system. */
const LEAVES_PER_STEP = 16;

/**
 * Puts the records that are in the tree in place of the unknown ones, or none. The tree must not change until
 * it is edited with these changes.
 * @param found Takes these records along: only the tree knows them.
 */
export function* findBases(
  tree: ReadableTree,
  top: number,
  { bases, keys, keyOffsets, keyLengths, count }: MergedChanges,
  found: number[],
): Generator<void, void> {
  let read = 0;
  for (let at = 0; at < count; at++) {
    if (bases[at] !== UNKNOWN_RECORD) continue;
    bases[at] = NO_RECORD;
    if (top === NO_NODE) continue;
    const leaf = leafFor(tree.nodes, top, keys, keyOffsets[at]!, keyLengths[at]!);
    if (tree.nodes.isCold(leaf)) {
      if (++read % LEAVES_PER_STEP === 0) yield;
      tree.cold.warm(leaf);
    }
    bases[at] = recordIn(tree, leaf, keys, keyOffsets[at]!, keyLengths[at]!);
    if (bases[at] !== NO_RECORD) found.push(bases[at]!);
  }
}
