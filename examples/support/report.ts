/** What an example says while it runs: numbered steps, and checks that hold or do not. */

export class Report {
  #steps = 0;
  #failures = 0;

  get failures(): number {
    return this.#failures;
  }

  /** Begins a step. */
  step(text: string): void {
    console.log(`${++this.#steps}. ${text}`);
  }

  /** Says more about the step. */
  note(text: string): void {
    console.log(`   ${text}`);
  }

  /** States what must hold, and what was found. */
  check(what: string, found: string, holds: boolean): void {
    if (!holds) this.#failures++;
    console.log(`   ${holds ? 'ok   ' : 'WRONG'} ${what.padEnd(14)}${found}`);
  }
}
