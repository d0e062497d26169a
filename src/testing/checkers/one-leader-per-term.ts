/** Election safety (Ongaro & Ousterhout 2014, figure 3): at most one leader is elected in a term. */

import { Agreement } from './agreement.ts';
import type { Violation } from './violation.ts';

/** A replica became leader. */
export interface LeaderObserved {
  readonly term: number;
  readonly replica: string;
}

/** Checks leaders as they are elected. */
export class OneLeaderPerTerm {
  readonly #leaders = new Agreement();

  observe({ term, replica }: LeaderObserved): Violation | null {
    const other = this.#leaders.claim(term, { replica, value: replica });
    if (other === null) return null;
    return {
      checker: 'one-leader-per-term',
      message: `in term ${term}, both ${other.replica} and ${replica} became leader`,
      facts: { term, replica, otherReplica: other.replica },
    };
  }
}
