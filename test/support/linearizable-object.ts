/**
 * Histories that are right by construction: clients of one object that takes each call at one moment between
 * its invocation and its return. Some calls get no answer; their moment comes later, or never.
 */

import type { Json, Operation, Outcome } from '../../src/testing/history/operation.ts';
import type { Model } from '../../src/testing/linearizability/model.ts';
import type { SeededRandom } from '../../src/testing/seeded-random.ts';

export interface HistoryShape {
  readonly clients: number;
  readonly operations: number;
  /** Probability that a call gets no answer. */
  readonly unknown: number;
  /** Probability that a client that is idle begins, when it could. Small values: few overlap. */
  readonly eagerness: number;
  /** Draws a call, given its number. */
  readonly call: (random: SeededRandom, number: number) => Json;
}

interface Pending {
  readonly client: number;
  readonly call: Json;
  readonly invokedAt: number;
  answer: Json | undefined;
}

/** Operations in the order of their invocations. */
export function makeHistory<State>(
  random: SeededRandom,
  model: Model<State>,
  shape: HistoryShape,
): Operation[] {
  const operations: Operation[] = [];
  const pending: (Pending | null)[] = Array.from({ length: shape.clients }, () => null);
  const forgotten: Pending[] = [];
  let state = model.initial;
  let [invoked, at] = [0, 0];

  const takeEffect = (one: Pending): void => {
    const step = model.step(state, one.call);
    [state, one.answer] = [step.state, step.answer];
  };
  const finish = (one: Pending, outcome: Outcome): void => {
    const isKnown = outcome.kind === 'answered';
    operations.push({
      client: `c${one.client}`,
      call: one.call,
      outcome,
      invokedAt: one.invokedAt,
      returnedAt: isKnown ? at : Infinity,
      invokedMs: one.invokedAt,
      returnedMs: isKnown ? at : null,
      command: null,
    });
    pending[one.client] = null;
  };

  while (invoked < shape.operations || pending.some((one) => one !== null)) {
    at++;
    const late = random.happens(0.02) ? forgotten.pop() : undefined;
    if (late !== undefined) takeEffect(late);
    const client = random.below(shape.clients);
    const one = pending[client]!;
    if (one === null) {
      if (invoked === shape.operations || !random.happens(shape.eagerness)) continue;
      pending[client] = { client, call: shape.call(random, invoked++), invokedAt: at, answer: undefined };
    } else if (one.answer === undefined && random.happens(shape.unknown)) {
      if (random.happens(0.5)) takeEffect(one);
      else forgotten.push(one);
      finish(one, { kind: 'unknown' });
    } else if (one.answer === undefined) {
      takeEffect(one);
    } else {
      finish(one, { kind: 'answered', answer: one.answer });
    }
  }
  return operations.sort((left, right) => left.invokedAt - right.invokedAt);
}

/** The same history as `operations`, but for one operation. */
export function withChanged(
  operations: readonly Operation[],
  at: number,
  change: Partial<Operation>,
): Operation[] {
  return operations.map((operation, other) => (other === at ? { ...operation, ...change } : operation));
}
