/**
 * Reads that say at which index their state is, held to what the state was there: the commands before it are
 * applied to a model, one after the other, and each read is answered from it.
 */

import { isSameJson, type Json, shownCall } from '../history/operation.ts';
import type { Model } from '../linearizability/model.ts';
import type { Violation } from './violation.ts';

/** A command, where it took effect. */
export interface CommandAt {
  readonly index: number;
  readonly call: Json;
}

/** A read from the state after the entry at `index`. */
export interface ReadAt extends CommandAt {
  readonly client: string;
  readonly answer: Json;
}

/**
 * Checks every read.
 * @param commands In the order in which they took effect.
 */
export function checkLocalReads<State>(
  model: Model<State>,
  { commands, reads }: { readonly commands: readonly CommandAt[]; readonly reads: readonly ReadAt[] },
): Violation[] {
  const sorted = [...reads].sort((one, other) => one.index - other.index);
  let state = model.initial;
  let next = 0;
  return sorted.flatMap(({ client, index, call, answer }) => {
    for (; next < commands.length && commands[next]!.index <= index; next++) {
      state = model.step(state, commands[next]!.call).state;
    }
    const wanted = model.step(state, call).answer;
    if (isSameJson(wanted, answer)) return [];
    const got = `${JSON.stringify(answer)} instead of ${JSON.stringify(wanted)}`;
    return [
      {
        checker: 'local-reads',
        message: `${client} read ${shownCall(call)} at index ${index} and got ${got}`,
        facts: { client, index, call, answer, wanted },
      },
    ];
  });
}
