/**
 * How a node of the tree, or a large value, stands in a `.data` file (docs/format.md §7.2).
 *
 *     offset  0      1     2        4       8          12    16               16 + 12 count
 *             +------+-----+--------+-------+----------+-----+----------------+-------+--------+
 *             | kind |  0  | count  | bytes | position | crc | count places   | bytes | zeros  |
 *             +------+-----+--------+-------+----------+-----+----------------+-------+--------+
 *
 * A place is where a child, or a large value of a leaf, is: file number, offset / 16, bytes, u32 each.
 * `position` is the record's own offset / 16. The CRC32C covers the id of the file, bytes 0 to 11 and the
 * places, so that no record passes for one of another file or place. It does not cover the node: whoever
 * reads it holds it against the hash that led there, and the chunk checksums of the .idx cover everything.
 */

import { assert } from '../base/assert.ts';
import { alignUp, viewOf } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { DIGEST_BYTES } from '../base/digest.ts';
import { VALUE_BYTES_MAX } from '../base/limits.ts';
import { NODE_BYTES_MAX } from '../base/merkle/shape.ts';
import { PLACE_ALIGN_BYTES, type Place, type Unstored } from '../state/stored.ts';

export const RECORD_HEADER_BYTES = 16;
export const PLACE_BYTES = 12;

/** Every place stands for a hash in the node, which has a key and a number beside it. */
export const PLACES_MAX: number = Math.floor(NODE_BYTES_MAX / (DIGEST_BYTES + 2));

/** Longest header with its places. */
export const RECORD_HEAD_BYTES_MAX: number = RECORD_HEADER_BYTES + PLACES_MAX * PLACE_BYTES;

const CRC_OFFSET = 12;

export type NodeKind = Unstored['kind'];

const KIND_NUMBERS: Readonly<Record<NodeKind, number>> = { leaf: 1, inner: 2, value: 3 };
const KINDS: readonly (NodeKind | undefined)[] = [undefined, 'leaf', 'inner', 'value'];

/** What a record says before its places. Believed only when `isHeadWhole` holds. */
export interface RecordHeader {
  readonly kind: NodeKind;
  readonly placeCount: number;
  /** Length of the node or value. */
  readonly bytes: number;
  /** Where the record says it is, in bytes from the start of the file. */
  readonly offset: number;
}

/** Where the checksums of a file's records begin: the CRC32C of its id. */
export function recordSeed(fileId: string): number {
  return crc32c(Buffer.from(fileId, 'hex'));
}

/** Length of header and places. */
export function recordHeadBytes(placeCount: number): number {
  return RECORD_HEADER_BYTES + placeCount * PLACE_BYTES;
}

/** Length of a whole record, with its padding. */
export function recordBytes(placeCount: number, bytes: number): number {
  return alignUp(recordHeadBytes(placeCount) + bytes, PLACE_ALIGN_BYTES);
}

/** Writes header and places to the start of `target`; returns their length. */
export function encodeRecordHead(
  target: Uint8Array,
  node: Pick<Unstored, 'kind' | 'bytes' | 'places'>,
  at: { readonly offset: number; readonly seed: number },
): number {
  const { kind, bytes, places } = node;
  const headBytes = recordHeadBytes(places.length);
  assert(places.length <= PLACES_MAX, `a node has at most ${PLACES_MAX} places, got ${places.length}`);
  assert(bytes.length <= bytesMaxOf(kind), `a ${kind} of ${bytes.length} bytes is above its limit`);
  const view = viewOf(target);
  target[0] = KIND_NUMBERS[kind];
  target[1] = 0;
  view.setUint16(2, places.length, true);
  view.setUint32(4, bytes.length, true);
  view.setUint32(8, at.offset / PLACE_ALIGN_BYTES, true);
  for (let place = 0; place < places.length; place++) {
    const { file, offset, bytes: length } = places[place]!;
    const to = RECORD_HEADER_BYTES + place * PLACE_BYTES;
    view.setUint32(to, file, true);
    view.setUint32(to + 4, offset / PLACE_ALIGN_BYTES, true);
    view.setUint32(to + 8, length, true);
  }
  view.setUint32(CRC_OFFSET, checksum(target, headBytes, at.seed), true);
  return headBytes;
}

/**
 * What stands in the RECORD_HEADER_BYTES at `at`; null when no record begins like that. The bytes are there.
 * Read without a view of their own: a start reads a hundred thousand of them.
 */
export function decodeRecordHeader(bytes: Uint8Array, at: number): RecordHeader | null {
  const kind = KINDS[bytes[at]!];
  const placeCount = bytes[at + 2]! | (bytes[at + 3]! << 8);
  const length = u32At(bytes, at + 4);
  if (kind === undefined || bytes[at + 1] !== 0) return null;
  if (placeCount > PLACES_MAX || length > bytesMaxOf(kind)) return null;
  return { kind, placeCount, bytes: length, offset: u32At(bytes, at + 8) * PLACE_ALIGN_BYTES };
}

/** Whether header and places, `head`, are as they were written. */
export function isHeadWhole(head: Uint8Array, seed: number): boolean {
  return u32At(head, CRC_OFFSET) === checksum(head, head.length, seed);
}

/** The places of a whole head. */
export function decodePlaces(head: Uint8Array): Place[] {
  const places: Place[] = [];
  for (let at = RECORD_HEADER_BYTES; at < head.length; at += PLACE_BYTES) {
    const offset = u32At(head, at + 4) * PLACE_ALIGN_BYTES;
    places.push({ file: u32At(head, at), offset, bytes: u32At(head, at + 8) });
  }
  return places;
}

function u32At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

function checksum(head: Uint8Array, headBytes: number, seed: number): number {
  const crc = crc32c(head.subarray(0, CRC_OFFSET), seed);
  return headBytes === RECORD_HEADER_BYTES ? crc : crc32c(head.subarray(RECORD_HEADER_BYTES, headBytes), crc);
}

function bytesMaxOf(kind: NodeKind): number {
  return kind === 'value' ? VALUE_BYTES_MAX : NODE_BYTES_MAX;
}
