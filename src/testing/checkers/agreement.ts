/**
 * What all replicas must agree on, by a number of one kind: the first that is reported counts, and all others
 * are held to it. Roots at indices, leaders of terms and applied entries are checked with it.
 */

/** Who said what first. */
export interface Claim {
  readonly replica: string;
  readonly value: string;
}

/** The first claim of each number. Holds one claim for each number there is; `forgetBefore` bounds it. */
export class Agreement {
  readonly #claims = new Map<number, Claim>();

  /** The claim that this one contradicts, or null. */
  claim(number: number, claim: Claim): Claim | null {
    const first = this.#claims.get(number);
    if (first === undefined) this.#claims.set(number, claim);
    return first === undefined || first.value === claim.value ? null : first;
  }

  forgetBefore(number: number): void {
    for (const known of this.#claims.keys()) if (known < number) this.#claims.delete(known);
  }
}
