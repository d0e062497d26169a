/** `tidemark/merkle`: the tree of a state as others may read and check it, node by node. */

export { type StoreNode, TreeBuilder } from './build.ts';
export {
  type DiffCost,
  type DiffOptions,
  diffStates,
  type StateDiff,
  type TreePosition,
  type TreeReader,
  type WantedValue,
} from './diff-states.ts';
export {
  type DecidedDifference,
  type Difference,
  difference,
  type KeyRange,
  type Side,
  type StoredTree,
  TreeDifference,
  type WantedNode,
  type WantedNodes,
} from './difference.ts';
export { MissingNodes, type Wanted } from './missing.ts';
export {
  decodeNode,
  EMPTY_NODE,
  EMPTY_ROOT,
  encodeNode,
  type InnerEntry,
  type InnerNode,
  type InvalidNode,
  type LeafEntry,
  type LeafNode,
  type StoredValue,
  type TreeNode,
} from './node.ts';
export { checkProof, type Proof, type Proven, proveKey } from './proof.ts';
export { type Broken, type NodeSource, readValue } from './read.ts';
export { defaultShape, type TreeShape } from './shape.ts';
export { getEntry, type Lookup, type WalkedEntry, walkEntries } from './walk.ts';
