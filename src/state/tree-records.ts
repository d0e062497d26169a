/** The records of a tree in memory, in the order of their keys. */

import type { LiveIndex } from './live-index.ts';
import { NO_NODE, type TreeNodes } from './tree-nodes.ts';

/** From the first key that is at least `from`. The tree must not change meanwhile. */
export function* recordsFrom(
  nodes: TreeNodes,
  index: LiveIndex,
  top: number,
  from: Uint8Array,
): Generator<number, void> {
  const pending: number[] = top === NO_NODE ? [] : [top];
  let isBefore = true;
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    const count = nodes.countOf(node);
    if (nodes.levelOf(node) > 0) {
      const first = isBefore ? childFor(nodes, node, from) : 0;
      for (let at = count - 1; at >= first; at--) pending.push(nodes.itemOf(node, at));
      continue;
    }
    for (let at = 0; at < count; at++) {
      const record = nodes.itemOf(node, at);
      if (isBefore && index.compareKey(record, from, 0, from.length) < 0) continue;
      isBefore = false;
      yield record;
    }
  }
}

/** The child below which a key is, or would be. */
function childFor(nodes: TreeNodes, node: number, key: Uint8Array): number {
  let lower = 0;
  let upper = nodes.countOf(node);
  while (lower + 1 < upper) {
    const middle = (lower + upper) >>> 1;
    if (nodes.compareChildKey(node, middle, key, 0, key.length) <= 0) lower = middle;
    else upper = middle;
  }
  return lower;
}
