/**
 * Assertions: what must hold for the program to go on. A broken invariant stops the node before it writes.
 *
 * Always on: a log or a checkpoint written by a broken program outlives the process.
 */

/** Thrown only by `assert` and `unreachable`: the program is wrong, and must stop before it writes. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
}

/** States what must hold. The message says what should have held, with numbers. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new InvariantViolation(invariant);
}

/** Ends an exhaustive `switch`; the compiler rejects the call while a case is missing. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`unreachable: ${JSON.stringify(value)}`);
}
