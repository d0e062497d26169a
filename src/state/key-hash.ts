/**
 * The hash of keys in the live index: HalfSipHash-1-3, keyed with a secret seed.
 *
 * What it promises: who does not know the seed cannot choose keys that collide more often than chance, so
 * nobody can turn a shard into one long chain. What it does not promise: anything about two places agreeing
 * (each index draws its own seed), or about secrecy once hashes leak. Cursors of SCAN do tell them to
 * clients, as Redis's do; from hashes alone nobody gets the seed, and to find so many keys of one slot that
 * probes get long, one would have to insert some 2^23 keys for each. Use base/digest.ts for what must be
 * compared.
 *
 * Source: Aumasson & Bernstein, "SipHash: a fast short-input PRF", with the 32-bit lanes of the authors'
 * HalfSipHash, one round a word and three at the end.
 */

import { assert } from '../base/assert.ts';

/** Hashes `length` bytes of `bytes` from `offset` on, to a signed 32-bit integer. */
export type KeyHash = (bytes: Uint8Array, offset: number, length: number) => number;

export const KEY_HASH_SEED_BYTES = 8;

/** @param seed KEY_HASH_SEED_BYTES unpredictable bytes. */
export function seededKeyHash(seed: Uint8Array): KeyHash {
  assert(seed.length === KEY_HASH_SEED_BYTES, `a seed has ${KEY_HASH_SEED_BYTES} bytes, got ${seed.length}`);
  const seedLow = readWord(seed, 0);
  const seedHigh = readWord(seed, 4);
  return (bytes, offset, length) => halfSipHash(seedLow, seedHigh, bytes, offset, length);
}

function halfSipHash(
  seedLow: number,
  seedHigh: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
): number {
  let v0 = seedLow;
  let v1 = seedHigh;
  let v2 = seedLow ^ 0x6c796765;
  let v3 = seedHigh ^ 0x74656462;
  const tailOffset = offset + (length & ~3);

  // Message words, then the tail with the length above it (round 0), then the three final rounds (1 to 3).
  // The round is written once, in the loop: its lanes stay in registers and no helper returns four values.
  let at = offset;
  let finalRounds = 0;
  while (finalRounds < 4) {
    let word = 0;
    if (at < tailOffset) {
      word = readWord(bytes, at);
      at += 4;
    } else {
      if (finalRounds === 0) word = readTail(bytes, tailOffset, length);
      if (finalRounds === 1) v2 ^= 0xff;
      finalRounds++;
    }
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  return v1 ^ v3;
}

/** The last zero to three bytes, with the length of the message, modulo 256, in the highest. */
function readTail(bytes: Uint8Array, tailOffset: number, length: number): number {
  let word = length << 24;
  if ((length & 3) > 2) word |= bytes[tailOffset + 2]! << 16;
  if ((length & 3) > 1) word |= bytes[tailOffset + 1]! << 8;
  if ((length & 3) > 0) word |= bytes[tailOffset]!;
  return word;
}

function readWord(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
