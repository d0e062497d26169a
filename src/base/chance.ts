/** Door 3, second half: chance. `testing/` has one that draws from a seed. */

import { randomFillSync } from 'node:crypto';

/** Door 3: where random numbers come from. */
export interface Chance {
  /** Fills `target` with random bytes and returns it. */
  fill<Bytes extends Uint8Array>(target: Bytes): Bytes;
}

/** The system's cryptographic generator. */
export const systemChance: Chance = {
  fill: (target) => {
    randomFillSync(target);
    return target;
  },
};
