/**
 * The first bytes of a `.data` file (docs/format.md §7.2).
 *
 *     offset  0        8         10   12       16    24          40      48         52   60    64
 *             +--------+---------+----+--------+-----+-----------+-------+----------+----+-----+
 *             | magic  | version | 0  | number | id  | clusterId | index | timeline | 0  | crc |
 *             +--------+---------+----+--------+-----+-----------+-------+----------+----+-----+
 *
 * Integers are little-endian; the CRC32C covers the bytes before it. Magic, version and crc keep their places
 * in every later version.
 */

import { assert } from '../base/assert.ts';
import { bufferOf, isZero, readU64, viewOf, writeU64 } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';

export const DATA_HEADER_BYTES = 64;
export const DATA_VERSION = 1;

/** Largest file number: places in the tree have 31 bits for it. */
export const FILE_NUMBER_MAX = 2 ** 31 - 1;

const MAGIC = Buffer.from('TIDEMCPD', 'latin1');
const CRC_OFFSET = 60;

export interface DataHeader {
  /** From 1; a newer file has a higher one. Places name files by it. */
  readonly number: number;
  /** 16 lower-case hexadecimal digits, random: no other file has it. */
  readonly id: string;
  /** 32 lower-case hexadecimal digits. */
  readonly clusterId: string;
  readonly timeline: number;
  /** Of the checkpoint that it was written for. */
  readonly index: number;
}

export type DecodedDataHeader =
  | { readonly kind: 'header'; readonly header: DataHeader }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'invalid'; readonly reason: string };

export function encodeDataHeader(header: DataHeader): Uint8Array {
  const { number } = header;
  assert(number >= 1 && number <= FILE_NUMBER_MAX, `file numbers go from 1 to 2^31-1, got ${number}`);
  const bytes = Buffer.alloc(DATA_HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC, 0);
  view.setUint16(8, DATA_VERSION, true);
  view.setUint32(12, number, true);
  bytes.write(header.id, 16, 8, 'hex');
  bytes.write(header.clusterId, 24, 16, 'hex');
  writeU64(view, 40, header.index);
  view.setUint32(48, header.timeline, true);
  view.setUint32(CRC_OFFSET, crc32c(bytes.subarray(0, CRC_OFFSET)), true);
  return bytes;
}

/** Never throws on bad input: bytes from a disk are data. */
export function decodeDataHeader(bytes: Uint8Array): DecodedDataHeader {
  if (bytes.length < DATA_HEADER_BYTES) return { kind: 'invalid', reason: 'the header is cut short' };
  const buffer = bufferOf(bytes);
  const view = viewOf(bytes);
  if (!buffer.subarray(0, MAGIC.length).equals(MAGIC)) return { kind: 'invalid', reason: 'no magic' };
  if (view.getUint32(CRC_OFFSET, true) !== crc32c(buffer.subarray(0, CRC_OFFSET))) {
    return { kind: 'invalid', reason: 'the checksum of the header does not hold' };
  }
  const version = view.getUint16(8, true);
  if (version > DATA_VERSION) return { kind: 'newer', version };
  const index = readU64(view, 40);
  const number = view.getUint32(12, true);
  const timeline = view.getUint32(48, true);
  const isReservedZero = view.getUint16(10, true) === 0 && isZero(buffer.subarray(52, CRC_OFFSET));
  const isInRange = index !== null && number >= 1 && number <= FILE_NUMBER_MAX && timeline >= 1;
  if (version !== DATA_VERSION || !isInRange || !isReservedZero) {
    return { kind: 'invalid', reason: 'a field of the header is out of range' };
  }
  const id = buffer.toString('hex', 16, 24);
  const clusterId = buffer.toString('hex', 24, 40);
  return { kind: 'header', header: { number, id, clusterId, timeline, index } };
}
