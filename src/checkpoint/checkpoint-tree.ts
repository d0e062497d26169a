/**
 * The tree of a checkpoint, node by node, as it stands in its files: for who reads a part of it
 * (base/merkle).
 *
 * Nodes are asked for by hash and by their place in the tree, and files have places of their own: those below
 * a node become known when it is read. What is known is kept for the nodes that are asked for next, up to
 * KNOWN_MAX; a node that is not known any more is found again from the root down.
 */

import { copyOf } from '../base/bytes.ts';
import type { TreeReader, WantedValue } from '../base/merkle/diff-states.ts';
import type { WantedNode } from '../base/merkle/difference.ts';
import { decodeNode, EMPTY_NODE, type InvalidNode, type TreeNode } from '../base/merkle/node.ts';
import { findEntry, hashName, levelOf } from '../base/merkle/read.ts';
import type { Place } from '../state/stored.ts';
import type { OpenCheckpoint } from './open-checkpoint.ts';

/** Bytes of one answer, unless one node or value alone has more: reading files holds the event loop. */
const ANSWER_BYTES_MAX = 1024 * 1024;

/** Places that are kept: some 20 MiB. */
const KNOWN_MAX = 128 * 1024;

interface Known {
  readonly kind: 'leaf' | 'inner' | 'value';
  readonly place: Place;
}

interface Read {
  readonly bytes: Uint8Array;
  /** Not verified: who asked holds it against its hash. */
  readonly node: TreeNode | InvalidNode;
  readonly places: readonly Place[];
}

export class CheckpointTree implements TreeReader {
  readonly name: string;
  readonly root: Uint8Array;
  readonly keys: number;
  readonly #checkpoint: OpenCheckpoint;
  readonly #known = new Map<string, Known>();

  /** @param checkpoint Open as long as this is read. */
  constructor(checkpoint: OpenCheckpoint) {
    this.name = checkpoint.found.path;
    this.root = checkpoint.tree.root;
    this.keys = checkpoint.tree.keys;
    this.#checkpoint = checkpoint;
  }

  /** @throws TidemarkError TIDEMARK_CHECKPOINT_DAMAGED, TIDEMARK_IO. */
  async read(wanted: readonly (WantedNode | WantedValue)[]): Promise<readonly (Uint8Array | null)[]> {
    const answer: (Uint8Array | null)[] = [];
    let bytes = 0;
    for (const one of wanted) {
      const read = this.#readOne(one);
      bytes += read?.length ?? 0;
      answer.push(read);
      if (bytes >= ANSWER_BYTES_MAX) break;
    }
    return answer;
  }

  #readOne(wanted: WantedNode | WantedValue): Uint8Array | null {
    const level = wanted.kind === 'node' ? wanted.level : -1;
    const known = this.#known.get(hashName(wanted.hash)) ?? this.#find(wanted.key, level);
    if (known === null) return this.keys === 0 ? EMPTY_NODE : null;
    this.#known.delete(hashName(wanted.hash));
    const read = this.#readNode(known);
    this.#learn(read);
    return read.bytes;
  }

  #readNode({ kind, place }: Known): Read {
    const { bytes: view, places } = this.#checkpoint.files.read(kind, place);
    const bytes = copyOf(view);
    return { bytes, places, node: kind === 'value' ? NO_NODE : decodeNode(bytes) };
  }

  /** Where the node of a level on the way to a key is; the value of the key below level 0. */
  #find(key: Uint8Array, level: number): Known | null {
    const { place, level: top } = this.#checkpoint.tree;
    if (place === null) return null;
    let known: Known = { kind: top === 0 ? 'leaf' : 'inner', place };
    for (let at = top; at > level; at--) {
      const read = this.#readNode(known);
      if (read.node.kind === 'invalid' || levelOf(read.node) !== at) return null;
      const entry = Math.max(0, findEntry(read.node.entries, key));
      const child = childrenOf(read).find((below) => below.entry === entry);
      if (child === undefined) return null;
      known = child;
    }
    return known;
  }

  #learn(read: Read): void {
    const children = childrenOf(read);
    if (this.#known.size + children.length > KNOWN_MAX) this.#known.clear();
    for (const { hash, kind, place } of children) this.#known.set(hashName(hash), { kind, place });
  }
}

const NO_NODE: InvalidNode = { kind: 'invalid', reason: 'a value' };

interface Child extends Known {
  /** Which entry of the node it belongs to. */
  readonly entry: number;
  readonly hash: Uint8Array;
}

/** Children of an inner node, large values of a leaf. */
function childrenOf({ node, places }: Read): Child[] {
  const children: Child[] = [];
  const note = (entry: number, hash: Uint8Array, kind: Known['kind']): void => {
    const place = places[children.length];
    if (place !== undefined) children.push({ entry, hash, kind, place });
  };
  if (node.kind === 'inner') {
    for (const [at, { hash }] of node.entries.entries()) note(at, hash, node.level === 1 ? 'leaf' : 'inner');
  } else if (node.kind === 'leaf') {
    for (const [at, { value }] of node.entries.entries())
      if (value.kind === 'node') note(at, value.hash, 'value');
  }
  return children;
}
