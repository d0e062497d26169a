/**
 * Right histories, broken in one known way each, so that no order explains them. Every break looks for a
 * place where that is certain, and returns null where the history has none.
 *
 * They rely on how the histories are made: every SET has a value of its own, every call is answered, counters
 * are only incremented.
 */

import type { Json, Operation } from '../../src/testing/history/operation.ts';
import type { SeededRandom } from '../../src/testing/seeded-random.ts';
import { operation } from './operation.ts';

type Break = (history: readonly Operation[], random: SeededRandom) => Operation[] | null;

export const BREAKS: Readonly<Record<string, Break>> = {
  /** A value is read that was overwritten before the read began. */
  'a stale read'(history, random) {
    const places = gets(history).flatMap((read) =>
      sets(history, keyOf(read))
        .filter((newer) => answerOf(read) === valueOf(newer) && precedes(newer, read))
        .flatMap((newer) => sets(history, keyOf(read)).filter((older) => precedes(older, newer)))
        .map((older) => ({ read, older })),
    );
    if (places.length === 0) return null;
    const { read, older } = random.pick(places);
    return answering(history, (one) => (one === read ? valueOf(older) : answerOf(one)));
  },

  /** Two increments start from the same number; all that follow go on from there. */
  'a lost update'(history, random) {
    const increments = history.filter(({ call }) => nameOf(call) === 'INCR');
    const lost = random.pick(increments);
    if (answerOf(lost) === 1) return null;
    return answering(history, (one) =>
      keyOf(one) === keyOf(lost) && Number(answerOf(one)) >= Number(answerOf(lost))
        ? Number(answerOf(one)) - 1
        : answerOf(one),
    );
  },

  'a value from nowhere'(history, random) {
    const read = random.pick(gets(history));
    return answering(history, (one) => (one === read ? 'nowhere' : answerOf(one)));
  },

  /** Of two writes, one after the other, the first is what stays. */
  'writes in another order'(history, random) {
    const places = gets(history).flatMap((read) =>
      sets(history, keyOf(read))
        .filter((second) => answerOf(read) === valueOf(second) && precedes(second, read))
        .flatMap((second) =>
          sets(history, keyOf(read))
            .filter((first) => precedes(first, second))
            .map((first) => ({ first, second })),
        ),
    );
    if (places.length === 0) return null;
    const { first, second } = random.pick(places);
    return answering(history, (one) =>
      nameOf(one.call) === 'GET' && answerOf(one) === valueOf(second) ? valueOf(first) : answerOf(one),
    );
  },

  /** An increment takes effect twice: its number is answered once, the next one never. */
  'a retry that took effect twice'(history, random) {
    const twice = random.pick(history.filter(({ call }) => nameOf(call) === 'INCR'));
    const isAfter = (one: Operation): boolean =>
      keyOf(one) === keyOf(twice) && Number(answerOf(one)) > Number(answerOf(twice));
    if (!history.some(isAfter)) return null;
    return answering(history, (one) => (isAfter(one) ? Number(answerOf(one)) + 1 : answerOf(one)));
  },

  /** A client that saw a write sees what was there before it. */
  'reads of one client that go back'(history, random) {
    const places = gets(history).flatMap((first) =>
      gets(history)
        .filter((second) => second.client === first.client && keyOf(second) === keyOf(first))
        .filter((second) => precedes(first, second))
        .flatMap((second) =>
          sets(history, keyOf(first))
            .filter((seen) => valueOf(seen) === answerOf(first))
            .flatMap((seen) => sets(history, keyOf(first)).filter((older) => precedes(older, seen)))
            .map((older) => ({ second, older })),
        ),
    );
    if (places.length === 0) return null;
    const { second, older } = random.pick(places);
    return answering(history, (one) => (one === second ? valueOf(older) : answerOf(one)));
  },

  /** Two transactions read the same two keys, and each writes one of them; neither sees the other. */
  'write skew'(history, random) {
    const from = random.pick(history).invokedAt;
    const skewed = (client: string, written: string, at: number): Operation =>
      operation(
        client,
        [
          'MULTI',
          [
            ['GET', 'left'],
            ['GET', 'right'],
            ['SET', written, client],
          ],
        ],
        {
          invokedAt: from + at,
          returnedAt: from + at + 0.5,
          answer: [null, null, 'OK'],
        },
      );
    return [...history, skewed('t1', 'left', 0.1), skewed('t2', 'right', 0.2)];
  },

  /** What was read is of a write that failed. */
  'a dirty read'(history, random) {
    const read = new Set(gets(history).map(answerOf));
    const places = history.filter((one) => nameOf(one.call) === 'SET' && read.has(valueOf(one)));
    if (places.length === 0) return null;
    const failed = random.pick(places);
    return history.map((one) =>
      one === failed ? { ...one, outcome: { kind: 'refused', reason: 'aborted' } } : one,
    );
  },
};

function answering(history: readonly Operation[], answer: (operation: Operation) => Json): Operation[] {
  return history.map((one) => ({ ...one, outcome: { kind: 'answered', answer: answer(one) } }));
}

function gets(history: readonly Operation[]): Operation[] {
  return history.filter(({ call }) => nameOf(call) === 'GET');
}

function sets(history: readonly Operation[], key: Json): Operation[] {
  return history.filter((one) => nameOf(one.call) === 'SET' && keyOf(one) === key);
}

function precedes(one: Operation, other: Operation): boolean {
  return one.returnedAt < other.invokedAt;
}

function nameOf(call: Json): Json {
  return (call as readonly Json[])[0]!;
}

function keyOf({ call }: Operation): Json {
  return (call as readonly Json[])[1]!;
}

function valueOf({ call }: Operation): Json {
  return (call as readonly Json[])[2]!;
}

function answerOf({ outcome }: Operation): Json {
  return outcome.kind === 'answered' ? outcome.answer : null;
}
