/**
 * CRC32C (Castagnoli polynomial 0x1EDC6F41, reflected), as in RFC 3720 appendix B.4.
 *
 * Small inputs use slice-by-8 in JavaScript, larger ones the optional native package: a native call costs
 * about as much as 160 bytes of slice-by-8.
 */

import { createRequire } from 'node:module';

const NATIVE_BYTES_MIN = 160;

type Native = (bytes: Uint8Array, initial: number) => number;

const tables = makeTables();
const native = loadNative();

/**
 * Checksum of `bytes`, continued from `initial`, the checksum of what came before.
 * `crc32c(b, crc32c(a))` equals the checksum of a and b joined.
 */
export function crc32c(bytes: Uint8Array, initial = 0): number {
  return native !== null && bytes.length >= NATIVE_BYTES_MIN
    ? native(bytes, initial)
    : sliceBy8(bytes, initial);
}

/** The same in plain JavaScript, exported so that a test can hold both against each other. */
export function sliceBy8(bytes: Uint8Array, initial: number): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  let crc = ~initial;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc =
      t7[crc & 255]! ^
      t6[(crc >>> 8) & 255]! ^
      t5[(crc >>> 16) & 255]! ^
      t4[crc >>> 24]! ^
      t3[bytes[at + 4]!]! ^
      t2[bytes[at + 5]!]! ^
      t1[bytes[at + 6]!]! ^
      t0[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = t0[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

function makeTables(): readonly Uint32Array[] {
  const made = Array.from({ length: 8 }, () => new Uint32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    made[0]![byte] = crc;
  }
  for (let table = 1; table < 8; table++) {
    for (let byte = 0; byte < 256; byte++) {
      const before = made[table - 1]![byte]!;
      made[table]![byte] = made[0]![before & 255]! ^ (before >>> 8);
    }
  }
  return made;
}

function loadNative(): Native | null {
  try {
    const loaded = createRequire(import.meta.url)('@node-rs/crc32') as { crc32c: Native };
    return loaded.crc32c(Buffer.from('123456789'), 0) === 0xe3069283 ? loaded.crc32c : null;
  } catch {
    return null; // An optional dependency: any failure to load it means the JavaScript path.
  }
}
