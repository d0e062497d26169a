/**
 * Reading a tree from a store of nodes that is not trusted: each node is verified by its hash, and by what
 * its parent says of it, before it is used. A walk that meets a node that is missing or wrong ends with
 * `broken`.
 */

import { DIGEST_BYTES, sha256 } from '../digest.ts';
import {
  compareBytes,
  decodeNode,
  equalBytes,
  type InnerEntry,
  type InnerNode,
  type StoredValue,
  type TreeNode,
} from './node.ts';

/** Where nodes are, by their hash: memory, a checkpoint file, a repository. */
export interface NodeSource {
  /** The bytes under a hash, believed by nobody; null when they are not here. */
  read(hash: Uint8Array): Uint8Array | null;
}

/** Ends a walk: a node, or a value, that is missing or wrong. */
export interface Broken {
  readonly kind: 'broken';
  /** Name of the node, or value, that cannot be used. */
  readonly hash: Uint8Array;
  /** `missing`, `hash`, or what is wrong inside. */
  readonly reason: string;
}

/** What is known of a node before it is read. */
export interface NodeReference {
  readonly hash: Uint8Array;
  /** What its parent says; null of a root. */
  readonly expected: { readonly level: number; readonly firstKey: Uint8Array; readonly count: number } | null;
}

export function rootReference(hash: Uint8Array): NodeReference {
  return { hash, expected: null };
}

export function childReference(parent: InnerNode, { key, count, hash }: InnerEntry): NodeReference {
  return { hash, expected: { level: parent.level - 1, firstKey: key, count } };
}

export function readNode(source: NodeSource, reference: NodeReference): TreeNode | Broken {
  const bytes = source.read(reference.hash);
  if (bytes === null) return { kind: 'broken', hash: reference.hash, reason: 'missing' };
  return verifyNode(reference, bytes);
}

/** Decodes a node if its bytes are those that the reference names. */
export function verifyNode(reference: NodeReference, bytes: Uint8Array): TreeNode | Broken {
  const { hash, expected } = reference;
  const broken = (reason: string): Broken => ({ kind: 'broken', hash, reason });
  if (!equalBytes(sha256(bytes), hash)) return broken('hash');
  const node = decodeNode(bytes);
  if (node.kind === 'invalid') return broken(node.reason);
  if (expected === null) return node;
  const first = node.entries[0];
  if (levelOf(node) !== expected.level) return broken('level');
  if (first === undefined || !equalBytes(first.key, expected.firstKey)) return broken('first key');
  return countOf(node) === expected.count ? node : broken('count');
}

/** The bytes of a stored value. */
export function readValue(
  source: NodeSource,
  value: StoredValue,
): { readonly kind: 'value'; readonly bytes: Uint8Array } | Broken {
  if (value.kind === 'inline') return { kind: 'value', bytes: value.bytes };
  const bytes = source.read(value.hash);
  if (bytes === null) return { kind: 'broken', hash: value.hash, reason: 'missing' };
  return verifyValue(value, bytes);
}

export function verifyValue(
  { hash, length }: { readonly hash: Uint8Array; readonly length: number },
  bytes: Uint8Array,
): { readonly kind: 'value'; readonly bytes: Uint8Array } | Broken {
  if (bytes.length !== length) return { kind: 'broken', hash, reason: 'length' };
  return equalBytes(sha256(bytes), hash)
    ? { kind: 'value', bytes }
    : { kind: 'broken', hash, reason: 'hash' };
}

export function levelOf(node: TreeNode): number {
  return node.kind === 'leaf' ? 0 : node.level;
}

/** Number of keys in and below a node. */
export function countOf(node: TreeNode): number {
  if (node.kind === 'leaf') return node.entries.length;
  let count = 0;
  for (const entry of node.entries) count += entry.count;
  return count;
}

/** The last entry whose key is at most `key`, or -1: where a search goes on. */
export function findEntry(entries: readonly { readonly key: Uint8Array }[], key: Uint8Array): number {
  let lower = 0;
  let upper = entries.length;
  while (lower < upper) {
    const middle = (lower + upper) >>> 1;
    if (compareBytes(entries[middle]!.key, key) <= 0) lower = middle + 1;
    else upper = middle;
  }
  return lower - 1;
}

/** A hash as a key of a map. */
export function hashName(hash: Uint8Array): string {
  let name = '';
  for (let at = 0; at < DIGEST_BYTES; at++) name += String.fromCharCode(hash[at]!);
  return name;
}
