/** SHA-256, the digest of everything that two places must agree on. */

import { createHash } from 'node:crypto';

export const DIGEST_BYTES = 32;

export function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}
