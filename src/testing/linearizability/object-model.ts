/** Models of objects of one kind, each under a name of its own; every call names one of them. */

import type { Json } from '../history/operation.ts';
import { objectOf, takeApart, textOf } from './call.ts';
import type { Model, Step } from './model.ts';

/** One kind of object. */
export interface ObjectKind<State extends Json> {
  readonly name: string;
  /** The state of an object that no call has named. */
  readonly initial: State;
  /** Names of calls, with their count of arguments. The first argument is the name of the object. */
  readonly calls: Readonly<Record<string, number>>;
  readonly reads: readonly string[];
  /** @param args Without the name of the object. */
  step(state: State, name: string, args: readonly Json[]): Step<State>;
}

/** The objects that were changed, by name. */
export type Objects<State extends Json> = ReadonlyMap<string, State>;

/** A model of any number of such objects. */
export function objectModel<State extends Json>(kind: ObjectKind<State>): Model<Objects<State>> {
  return Object.freeze({
    name: kind.name,
    initial: new Map<string, State>(),
    step(objects: Objects<State>, call: Json) {
      const { name, args } = takeApart(kind.name, call, kind.calls);
      const object = objectOf(call);
      const before = objects.get(object) ?? kind.initial;
      const { state, answer } = kind.step(before, name, args.slice(1));
      return { state: state === before ? objects : new Map(objects).set(object, state), answer };
    },
    keyOf: (objects: Objects<State>) => JSON.stringify([...objects].sort(byName)),
    objectsOf: (call: Json) => [objectOf(call)],
    isRead: (call: Json) => Array.isArray(call) && kind.reads.includes(textOf(call[0] as Json)),
    describe: (objects: Objects<State>, names: readonly string[]) =>
      names.map((name) => `${name} = ${JSON.stringify(objects.get(name) ?? kind.initial)}`).join(', '),
  });
}

function byName([one]: readonly [string, Json], [other]: readonly [string, Json]): number {
  return one < other ? -1 : Number(one > other);
}
