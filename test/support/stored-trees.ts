/** Trees in a Map, built from a plain content: what tests compare with. */

import { TreeBuilder } from '../../src/base/merkle/build.ts';
import type { StoredTree } from '../../src/base/merkle/difference.ts';
import type { StoredValue } from '../../src/base/merkle/node.ts';
import type { Broken, NodeSource } from '../../src/base/merkle/read.ts';
import { hashName } from '../../src/base/merkle/read.ts';
import type { TreeShape } from '../../src/base/merkle/shape.ts';
import { SALT_BYTES } from '../../src/base/merkle/shape.ts';

export const SALT: Uint8Array = new Uint8Array(SALT_BYTES).fill(9);

/** Few keys a node, so that a small content has a high tree. */
export const SMALL_SHAPE: TreeShape = { salt: SALT, leafBits: 2, innerBits: 1, nodeBytesMax: 256 * 1024 };

/** A limit that cuts most runs. Entries of tests must have at most half of it. */
export const CUT_SHAPE: TreeShape = { ...SMALL_SHAPE, leafBits: 4, innerBits: 4, nodeBytesMax: 240 };

export class NodeMap implements NodeSource {
  readonly nodes = new Map<string, Uint8Array>();
  reads = 0;

  read(hash: Uint8Array): Uint8Array | null {
    this.reads++;
    return this.nodes.get(hashName(hash)) ?? null;
  }

  has(hash: Uint8Array): boolean {
    return this.nodes.has(hashName(hash));
  }

  store(hash: Uint8Array, bytes: Uint8Array): void {
    this.nodes.set(hashName(hash), bytes);
  }

  get bytes(): number {
    let sum = 0;
    for (const node of this.nodes.values()) sum += node.length;
    return sum;
  }
}

export interface MapTree extends StoredTree {
  readonly nodes: NodeMap;
}

/** Keys and values are latin1. */
export type Content = ReadonlyMap<string, string>;

export function buildMapTree(content: Content, shape: TreeShape, nodes = new NodeMap()): MapTree {
  const builder = new TreeBuilder(shape, (hash, bytes) => nodes.store(hash, bytes));
  for (const key of [...content.keys()].sort()) builder.add(bytesOf(key), bytesOf(content.get(key)!));
  return { nodes, root: builder.end() };
}

export function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** A stored value as text, a large one read from the nodes. */
export function valueText(nodes: NodeSource, value: StoredValue): string {
  if (value.kind === 'inline') return textOf(value.bytes);
  const bytes = nodes.read(value.hash);
  if (bytes === null) throw new Error('a value is missing');
  return textOf(bytes);
}

/** Passes anything but `broken`. */
export function whole<Result extends { readonly kind: string }>(result: Result): Exclude<Result, Broken> {
  if (result.kind === 'broken') throw new Error(`broken: ${JSON.stringify(result)}`);
  return result as Exclude<Result, Broken>;
}
