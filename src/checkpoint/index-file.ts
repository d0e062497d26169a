/**
 * The frame of an `.idx` file (docs/format.md §7.3).
 *
 *     offset  0        8         10   12       16    20   32        32 + length   64 + length
 *             +--------+---------+----+--------+-----+----+---------+-------------+
 *             | magic  | version | 0  | length | crc | 0  | payload | SHA-256     |
 *             +--------+---------+----+--------+-----+----+---------+-------------+
 *
 * The CRC32C covers bytes 0 to 15, so that the length may be believed; the SHA-256 everything before it. The
 * file ends there. Magic, version and digest (the last 32 bytes) keep their places in every later version.
 */

import { bufferOf, isZero, viewOf } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { DIGEST_BYTES, sha256 } from '../base/digest.ts';
import { type CheckpointInfo, decodeInfo, encodeInfo } from './checkpoint-info.ts';

export const INDEX_VERSION = 1;

/** Largest index file: 64 data files of 32 GiB each have 16 MiB of checksums. */
export const INDEX_BYTES_MAX: number = 24 * 1024 * 1024;

const MAGIC = Buffer.from('TIDEMCPI', 'latin1');
const HEADER_BYTES = 32;
const CRC_OFFSET = 16;

export type DecodedIndex =
  | { readonly kind: 'info'; readonly info: CheckpointInfo }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'invalid'; readonly offset: number; readonly reason: string };

export function encodeIndexFile(info: CheckpointInfo): Uint8Array {
  const payload = encodeInfo(info);
  const bytes = Buffer.alloc(HEADER_BYTES + payload.length + DIGEST_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC, 0);
  view.setUint16(8, INDEX_VERSION, true);
  view.setUint32(12, payload.length, true);
  view.setUint32(CRC_OFFSET, crc32c(bytes.subarray(0, CRC_OFFSET)), true);
  bytes.set(payload, HEADER_BYTES);
  const end = HEADER_BYTES + payload.length;
  bytes.set(sha256(bytes.subarray(0, end)), end);
  return bytes;
}

/** Never throws on bad input: bytes from a disk are data. */
export function decodeIndexFile(bytes: Uint8Array): DecodedIndex {
  const invalid = (offset: number, reason: string): DecodedIndex => ({ kind: 'invalid', offset, reason });
  const buffer = bufferOf(bytes);
  if (bytes.length < HEADER_BYTES + DIGEST_BYTES) return invalid(bytes.length, 'the file is cut short');
  if (!buffer.subarray(0, MAGIC.length).equals(MAGIC)) return invalid(0, 'no magic');
  const end = bytes.length - DIGEST_BYTES;
  const isWhole = buffer.subarray(end).equals(sha256(buffer.subarray(0, end)));
  const view = viewOf(bytes);
  const version = view.getUint16(8, true);
  if (isWhole && version > INDEX_VERSION) return { kind: 'newer', version };
  if (view.getUint32(CRC_OFFSET, true) !== crc32c(buffer.subarray(0, CRC_OFFSET))) {
    return invalid(0, 'the checksum of the header does not hold');
  }
  if (view.getUint32(12, true) !== end - HEADER_BYTES) return invalid(12, 'the file has another length');
  if (!isWhole) return invalid(HEADER_BYTES, 'the digest of the file does not hold');
  const isReservedZero = view.getUint16(10, true) === 0 && isZero(buffer.subarray(20, HEADER_BYTES));
  if (version !== INDEX_VERSION || !isReservedZero)
    return invalid(8, 'a field of the header is out of range');
  const decoded = decodeInfo(buffer.subarray(HEADER_BYTES, end));
  if (decoded.kind === 'info') return decoded;
  return invalid(HEADER_BYTES, `the field ${decoded.fault} is not valid`);
}
