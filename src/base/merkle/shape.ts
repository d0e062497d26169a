/**
 * The shape of a tree: which keys begin a node. It is decided by the keys alone, so that equal content has an
 * equal tree, whatever the order in which it came to be (docs/format.md §6.1).
 *
 * The *weight* of a key is a salted hash of 32 bits. Light keys are rare, and begin nodes: a key whose weight
 * has `leafBits` leading zeros has level 1 and begins a leaf, with `innerBits` more it has level 2 and begins
 * a node one level up, and so on. A *run* is what stands between two such keys: mostly it becomes one node.
 * A run above the size limit is cut at its lightest key but the first, and each part again, until all fit.
 *
 * Weights are salted so that nobody outside the cluster can choose keys that make a long run.
 */

import { assert } from '../assert.ts';
import { sha256Prefix } from '../digest.ts';
import { KEY_BYTES_MAX } from '../limits.ts';

export const SALT_BYTES = 16;

/** Largest encoded node. At least twice the largest entry: a run of two is never cut. */
export const NODE_BYTES_MAX = 256 * 1024;

/** What decides where nodes begin: equal keys make equal nodes only under an equal shape. */
export interface TreeShape {
  /** SALT_BYTES bytes, the same in the whole cluster. */
  readonly salt: Uint8Array;
  /** 2^leafBits is the expected number of keys in a leaf. */
  readonly leafBits: number;
  /** 2^innerBits is the expected number of children of a node above. */
  readonly innerBits: number;
  /** Size above which a run is cut, in encoded bytes. */
  readonly nodeBytesMax: number;
}

/**
 * Eight keys a leaf, eight children a node. A changed key takes its whole leaf along, which being found
 * through a key has 15 entries on average: 1.5 % of the bytes for 0.1 % of the keys. See bench/tree.ts.
 */
export function defaultShape(salt: Uint8Array): TreeShape {
  assert(salt.length === SALT_BYTES, `a salt has ${SALT_BYTES} bytes, got ${salt.length}`);
  return { salt, leafBits: 3, innerBits: 3, nodeBytesMax: NODE_BYTES_MAX };
}

/** Weighs keys. Keeps the salt and the key side by side in one buffer. */
export class KeyScale {
  readonly #shape: TreeShape;
  readonly #salted: Uint8Array;

  constructor(shape: TreeShape) {
    this.#shape = shape;
    this.#salted = new Uint8Array(SALT_BYTES + KEY_BYTES_MAX);
    this.#salted.set(shape.salt);
  }

  /** The weight of a key, from 0 to 2^32-1. */
  weigh(key: Uint8Array): number {
    this.#salted.set(key, SALT_BYTES);
    return sha256Prefix(this.#salted.subarray(0, SALT_BYTES + key.length));
  }

  /** The level of a key: 0 for most; a key of level n begins nodes of every level below n. */
  levelOf(key: Uint8Array): number {
    return levelOfWeight(this.#shape, this.weigh(key));
  }
}

export function levelOfWeight({ leafBits, innerBits }: TreeShape, weight: number): number {
  const zeros = Math.clz32(weight);
  return zeros < leafBits ? 0 : 1 + Math.floor((zeros - leafBits) / innerBits);
}

export interface Run {
  readonly length: number;
  /** Encoded bytes of one item; the node around the items is not counted. */
  bytesOf(at: number): number;
  weightOf(at: number): number;
}

/** Bytes of a node beside its entries. */
export const NODE_HEADER_BYTES = 1;

/**
 * Cuts a run into nodes of at most `bytesMax` bytes. Takes time in proportion to the run, whatever the
 * weights: the cuts are found in the tree of minima (a Cartesian tree).
 * @returns Where each node begins, ascending; the first is 0.
 */
export function cutRun(run: Run, bytesMax: number): number[] {
  const { ends, left, right, root } = minimaOf(run);
  const starts: number[] = [];
  // Each pending part: its first item, the minima inside it, and where it ends.
  const pending: [number, number, number][] = [[0, root, run.length]];
  for (;;) {
    const part = pending.pop();
    if (part === undefined) return starts;
    const [first, minimum, end] = part;
    const bytes = NODE_HEADER_BYTES + ends[end]! - ends[first]!;
    if (bytes <= bytesMax || minimum === 0) {
      starts.push(first);
    } else {
      pending.push([minimum, right[minimum]!, end], [first, left[minimum]!, minimum]);
    }
  }
}

interface Minima {
  /** Bytes of the items before each one, and of all. */
  readonly ends: Float64Array;
  /** The lightest item before, and behind, each one, as far as none lighter stands between; 0 for none. */
  readonly left: Int32Array;
  readonly right: Int32Array;
  /** The lightest item but the first. */
  readonly root: number;
}

function minimaOf(run: Run): Minima {
  const { length } = run;
  const ends = new Float64Array(length + 1);
  const left = new Int32Array(length);
  const right = new Int32Array(length);
  const weights = new Float64Array(length);
  const spine: number[] = [];
  for (let at = 0; at < length; at++) {
    ends[at + 1] = ends[at]! + run.bytesOf(at);
    if (at === 0) continue;
    weights[at] = run.weightOf(at);
    let under = 0;
    // Of two equal weights the first stays above: it is the cut that comes first.
    while (spine.length > 0 && weights[spine[spine.length - 1]!]! > weights[at]!) under = spine.pop()!;
    left[at] = under;
    if (spine.length > 0) right[spine[spine.length - 1]!] = at;
    spine.push(at);
  }
  return { ends, left, right, root: spine[0] ?? 0 };
}
