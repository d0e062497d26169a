/**
 * What a checker of linearizability has to know about a system: what it would do if it did one thing at a
 * time.
 */

import type { Json } from '../history/operation.ts';

/** What one call does to one state. */
export interface Step<State> {
  readonly state: State;
  readonly answer: Json;
}

/**
 * A system as a deterministic function of its calls. States are never changed: a step returns another one.
 *
 * Invariants a model keeps:
 *  - A call that changes nothing returns the very state it was given.
 *  - States with equal keys behave alike for ever.
 *  - A call touches only the keys it names, so that calls with no key in common can be judged apart
 *    (P-compositionality; Herlihy & Wing 1990: a history is linearizable if it is so object by object).
 */
export interface Model<State> {
  readonly name: string;
  /** The state before the first call. */
  readonly initial: State;
  /** Throws TIDEMARK_OPTION_INVALID for a call that the model does not know. */
  step(state: State, call: Json): Step<State>;
  /** Tells states apart. */
  keyOf(state: State): string;
  /** The objects that a call reads or writes. Calls that share one are judged together. */
  objectsOf(call: Json): readonly string[];
  /** Whether the call never changes anything, whatever the state. */
  isRead(call: Json): boolean;
  /** What the state holds of these objects, as people read it. */
  describe(state: State, objects: readonly string[]): string;
}
