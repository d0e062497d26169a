/**
 * State machine safety (Ongaro & Ousterhout 2014, figure 3): no two replicas apply different entries at one
 * index. And each applies them in order: every entry once, none left out.
 *
 * A replica that starts again applies what follows the state it recovered; one that takes over a state from
 * elsewhere, what follows that. Both say so with `restored`.
 */

import { Agreement } from './agreement.ts';
import type { Violation } from './violation.ts';

/** A replica applied an entry. */
export interface AppliedObserved {
  readonly replica: string;
  readonly index: number;
  /** Tells entries apart. */
  readonly digest: string;
}

/** A replica's state is now that after the entry at `index`; 0 is that before all. */
export interface RestoredObserved {
  readonly replica: string;
  readonly index: number;
}

/** Checks entries as they are applied. */
export class StateMachineSafety {
  readonly #entries = new Agreement();
  readonly #applied = new Map<string, number>();

  restored({ replica, index }: RestoredObserved): void {
    this.#applied.set(replica, index);
  }

  applied({ replica, index, digest }: AppliedObserved): Violation | null {
    const last = this.#applied.get(replica) ?? 0;
    this.#applied.set(replica, index);
    if (index !== last + 1) {
      return {
        checker: 'state-machine-safety',
        message: `${replica} applied the entry at ${index} after that at ${last}`,
        facts: { replica, index, last },
      };
    }
    const other = this.#entries.claim(index, { replica, value: digest });
    if (other === null) return null;
    return {
      checker: 'state-machine-safety',
      message: `at index ${index}, ${other.replica} applied ${other.value} and ${replica} applied ${digest}`,
      facts: { index, replica, digest, otherReplica: other.replica, otherDigest: other.value },
    };
  }
}
