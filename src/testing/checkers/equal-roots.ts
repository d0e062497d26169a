/** Replicas have the same state at the same index: the roots they report there are equal. */

import { Agreement } from './agreement.ts';
import type { Violation } from './violation.ts';

/** The root of a replica's state after the entry at `index`. */
export interface RootObserved {
  readonly replica: string;
  readonly index: number;
  readonly root: string;
}

/** Checks roots as they are reported. */
export class EqualRoots {
  readonly #roots = new Agreement();

  observe({ replica, index, root }: RootObserved): Violation | null {
    const other = this.#roots.claim(index, { replica, value: root });
    if (other === null) return null;
    return {
      checker: 'equal-roots',
      message: `at index ${index}, ${other.replica} has root ${other.value} and ${replica} has ${root}`,
      facts: { index, replica, root, otherReplica: other.replica, otherRoot: other.value },
    };
  }

  /** Indices that no replica will report again. */
  forgetBefore(index: number): void {
    this.#roots.forgetBefore(index);
  }
}
