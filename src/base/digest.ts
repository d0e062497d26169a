/**
 * SHA-256, the digest of everything that two places must agree on.
 *
 * Node returns a digest as a string several times faster than in a buffer of its own (4.3 M/s against 0.9 M/s
 * for 32 bytes, Node 20): hence the functions that take the string apart.
 */

import { createHash, type Hash, hash } from 'node:crypto';

export const DIGEST_BYTES = 32;

export function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

/** The digest of `bytes`, written to `target` at `offset`. */
export function sha256Into(bytes: Uint8Array, target: Uint8Array, offset: number): void {
  const digest = hash('sha256', bytes, 'binary');
  for (let at = 0; at < DIGEST_BYTES; at++) target[offset + at] = digest.charCodeAt(at);
}

/** Whether `digest` is the digest of `bytes`. */
export function isSha256(bytes: Uint8Array, digest: Uint8Array): boolean {
  const actual = hash('sha256', bytes, 'binary');
  for (let at = 0; at < DIGEST_BYTES; at++) if (actual.charCodeAt(at) !== digest[at]) return false;
  return true;
}

/** The first 32 bits of the digest of `bytes`, as an unsigned integer, most significant byte first. */
export function sha256Prefix(bytes: Uint8Array): number {
  const digest = hash('sha256', bytes, 'binary');
  const low = (digest.charCodeAt(1) << 16) | (digest.charCodeAt(2) << 8) | digest.charCodeAt(3);
  return digest.charCodeAt(0) * 2 ** 24 + low;
}

/** SHA-256 of bytes that come in parts, for what is too long to hash in one go. */
export class Sha256 {
  readonly #hash: Hash = createHash('sha256');

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** Ends it. */
  digest(): Uint8Array {
    return this.#hash.digest();
  }
}
