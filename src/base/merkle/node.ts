/**
 * A tree node as bytes, and back (docs/format.md §6.2). The SHA-256 of these bytes is the node's name.
 *
 *     node     level u8, entries to the end
 *     leaf     level 0; entry: key length, key, value length, value up to 1 KiB or the hash of a larger one
 *     inner    level 1 to LEVEL_MAX; entry: key length, key, number of keys below, hash of the child
 *
 * Lengths and numbers are LEB128, in the fewest bytes. The key of a child is the first key below it. Keys
 * ascend. One content has one encoding: what decodes encodes to the same bytes again.
 */

import { assert } from '../assert.ts';
import { copyOf, NO_BYTES } from '../bytes.ts';
import { DIGEST_BYTES, sha256 } from '../digest.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../limits.ts';
import { NODE_BYTES_MAX, NODE_HEADER_BYTES } from './shape.ts';

/** A value above this is a node of its own, named by the SHA-256 of its bytes. */
export const INLINE_VALUE_BYTES_MAX = 1024;

/** Highest level of a node. Weights of 32 bits make levels up to 31 at most; cut runs may add some. */
export const LEVEL_MAX = 63;

/** A value as its leaf has it: the bytes, or the hash of a node of its own. */
export type StoredValue =
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  | { readonly kind: 'node'; readonly hash: Uint8Array; readonly length: number };

/** A key and its value. */
export interface LeafEntry {
  readonly key: Uint8Array;
  readonly value: StoredValue;
}

/** A child of an inner node. */
export interface InnerEntry {
  /** First key below the child. */
  readonly key: Uint8Array;
  /** Number of keys below the child. */
  readonly count: number;
  readonly hash: Uint8Array;
}

/** A node with keys and values. */
export interface LeafNode {
  readonly kind: 'leaf';
  readonly entries: readonly LeafEntry[];
}

/** A node above others. */
export interface InnerNode {
  readonly kind: 'inner';
  readonly level: number;
  readonly entries: readonly InnerEntry[];
}

/** Either kind of node. */
export type TreeNode = LeafNode | InnerNode;

/** Bytes that are no node. */
export interface InvalidNode {
  readonly kind: 'invalid';
  readonly reason: string;
}

/** The one node of the empty tree: a leaf without entries. */
export const EMPTY_NODE: Uint8Array = new Uint8Array(NODE_HEADER_BYTES);

/** Root of the empty tree. */
export const EMPTY_ROOT: Uint8Array = sha256(EMPTY_NODE);

/** Bytes of an entry of a leaf. */
export function leafEntryBytes(keyBytes: number, valueBytes: number): number {
  const stored = valueBytes > INLINE_VALUE_BYTES_MAX ? DIGEST_BYTES : valueBytes;
  return lengthBytes(keyBytes) + keyBytes + lengthBytes(valueBytes) + stored;
}

/** Bytes of an entry of an inner node. */
export function innerEntryBytes(keyBytes: number, count: number): number {
  return lengthBytes(keyBytes) + keyBytes + lengthBytes(count) + DIGEST_BYTES;
}

/** Largest entry: of a leaf with the longest key and the largest inline value. */
export const ENTRY_BYTES_MAX: number = leafEntryBytes(KEY_BYTES_MAX, INLINE_VALUE_BYTES_MAX);

assert(2 * ENTRY_BYTES_MAX + NODE_HEADER_BYTES <= NODE_BYTES_MAX, 'two entries fit a node');

/** Writes one node after the other into a buffer that it keeps. The caller adds entries in order of keys. */
export class NodeWriter {
  #bytes: Uint8Array = new Uint8Array(4096);
  #size = 0;

  begin(level: number): void {
    assert(level >= 0 && level <= LEVEL_MAX, `levels go from 0 to ${LEVEL_MAX}, got ${level}`);
    this.#size = 0;
    this.#reserve(NODE_HEADER_BYTES);
    this.#bytes[this.#size++] = level;
  }

  /** An entry of a leaf with its value: at most INLINE_VALUE_BYTES_MAX bytes. */
  addInline(key: Uint8Array, value: Uint8Array): void {
    assert(value.length <= INLINE_VALUE_BYTES_MAX, `a value of ${value.length} bytes is a node of its own`);
    this.#reserve(leafEntryBytes(key.length, value.length));
    this.#addKey(key);
    this.#addNumber(value.length);
    this.#addBytes(value);
  }

  /** An entry of a leaf whose value is a node of its own. */
  addHashed(key: Uint8Array, length: number, hash: Uint8Array): void {
    assert(length > INLINE_VALUE_BYTES_MAX, `a value of ${length} bytes stands in its leaf`);
    this.#reserve(leafEntryBytes(key.length, length));
    this.#addKey(key);
    this.#addNumber(length);
    this.#addBytes(hash);
  }

  addChild(key: Uint8Array, count: number, hash: Uint8Array): void {
    this.#reserve(innerEntryBytes(key.length, count));
    this.#addKey(key);
    this.#addNumber(count);
    this.#addBytes(hash);
  }

  /** The node, as a view that holds until the next `begin`. */
  end(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  #addKey(key: Uint8Array): void {
    this.#addNumber(key.length);
    this.#addBytes(key);
  }

  #addNumber(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[this.#size++] = (rest % 0x80) | 0x80;
    this.#bytes[this.#size++] = rest;
  }

  #addBytes(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#size);
    this.#size += bytes.length;
  }

  #reserve(bytes: number): void {
    const needed = this.#size + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = grown;
  }
}

/** The bytes of a node; their SHA-256 is its name. */
export function encodeNode(node: TreeNode): Uint8Array {
  const writer = new NodeWriter();
  if (node.kind === 'inner') {
    writer.begin(node.level);
    for (const { key, count, hash } of node.entries) writer.addChild(key, count, hash);
  } else {
    writer.begin(0);
    for (const { key, value } of node.entries) {
      if (value.kind === 'inline') writer.addInline(key, value.bytes);
      else writer.addHashed(key, value.length, value.hash);
    }
  }
  return copyOf(writer.end());
}

/**
 * Decodes a node whose hash was checked, or not: it never throws, and allocates nothing on the word of a
 * length.
 * @returns Keys, values and hashes as views into `bytes`.
 */
export function decodeNode(bytes: Uint8Array): TreeNode | InvalidNode {
  if (bytes.length < NODE_HEADER_BYTES) return { kind: 'invalid', reason: 'short' };
  if (bytes.length > NODE_BYTES_MAX) return { kind: 'invalid', reason: 'size' };
  const level = bytes[0]!;
  if (level > LEVEL_MAX) return { kind: 'invalid', reason: 'level' };
  const reader = new NodeReader(bytes);
  return level === 0 ? decodeLeaf(reader) : decodeInner(reader, level);
}

function decodeLeaf(reader: NodeReader): TreeNode | InvalidNode {
  const entries: LeafEntry[] = [];
  while (!reader.isAtEnd) {
    const key = reader.key();
    const length = reader.number(VALUE_BYTES_MAX);
    const isInline = length <= INLINE_VALUE_BYTES_MAX;
    const bytes = reader.bytes(isInline ? length : DIGEST_BYTES);
    if (reader.failure !== null) return { kind: 'invalid', reason: reader.failure };
    entries.push({
      key,
      value: isInline ? { kind: 'inline', bytes } : { kind: 'node', hash: bytes, length },
    });
  }
  return { kind: 'leaf', entries };
}

function decodeInner(reader: NodeReader, level: number): TreeNode | InvalidNode {
  const entries: InnerEntry[] = [];
  while (!reader.isAtEnd) {
    const key = reader.key();
    const count = reader.number(Number.MAX_SAFE_INTEGER);
    const hash = reader.bytes(DIGEST_BYTES);
    if (reader.failure !== null) return { kind: 'invalid', reason: reader.failure };
    if (count === 0) return { kind: 'invalid', reason: 'count' };
    entries.push({ key, count, hash });
  }
  return entries.length === 0 ? { kind: 'invalid', reason: 'empty' } : { kind: 'inner', level, entries };
}

/** Takes fields off the front. After a failure it returns nothing of use, and `failure` says why. */
class NodeReader {
  readonly #bytes: Uint8Array;
  #offset = NODE_HEADER_BYTES;
  #previousKey: Uint8Array | null = null;
  #failure: string | null = null;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get failure(): string | null {
    return this.#failure;
  }

  get isAtEnd(): boolean {
    return this.#offset >= this.#bytes.length;
  }

  key(): Uint8Array {
    const key = this.bytes(this.number(KEY_BYTES_MAX));
    if (this.#previousKey !== null && compareBytes(this.#previousKey, key) >= 0) this.#failure ??= 'order';
    this.#previousKey = key;
    return key;
  }

  number(max: number): number {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 49; scale *= 0x80) {
      const byte = this.#bytes[this.#offset++];
      if (byte === undefined) return this.#fail('short');
      value += (byte & 0x7f) * scale;
      if (byte >= 0x80) continue;
      if (byte === 0 && scale > 1) return this.#fail('number'); // Not in the fewest bytes.
      return value <= max ? value : this.#fail('number');
    }
    return this.#fail('number');
  }

  bytes(length: number): Uint8Array {
    const end = this.#offset + length;
    if (end > this.#bytes.length) this.#fail('short');
    if (this.#failure !== null) return NO_BYTES;
    const bytes = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return bytes;
  }

  #fail(reason: string): number {
    this.#failure ??= reason;
    this.#offset = this.#bytes.length;
    return 0;
  }
}

function lengthBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

/** Byte by byte, the shorter first: the order of keys. */
export function compareBytes(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.length, other.length);
  for (let at = 0; at < length; at++) {
    const difference = one[at]! - other[at]!;
    if (difference !== 0) return difference;
  }
  return one.length - other.length;
}

export function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && compareBytes(one, other) === 0;
}
