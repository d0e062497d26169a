/** Calls as the models of this folder take them: a list, the name first, then the object, then the rest. */

import { invalidOption } from '../../base/options.ts';
import type { Json } from '../history/operation.ts';

/** A call taken apart. */
export interface Call {
  readonly name: string;
  readonly args: readonly Json[];
}

/** Throws TIDEMARK_OPTION_INVALID for anything else than a list with a name of `known` in front. */
export function takeApart(model: string, call: Json, known: Readonly<Record<string, number>>): Call {
  const [name, ...args] = Array.isArray(call) ? (call as Json[]) : [];
  const isKnown = typeof name === 'string' && Object.hasOwn(known, name) && known[name] === args.length;
  if (!isKnown) throw invalidOption(`call of ${model}`, call, `one of ${shapes(known)}`);
  return { name, args };
}

/** The first argument of a call, which names the object. */
export function objectOf(call: Json): string {
  return Array.isArray(call) ? textOf(call[1] as Json) : '';
}

/** An argument as text: keys and values are text, whatever a call was written with. */
export function textOf(argument: Json | undefined): string {
  return typeof argument === 'string' ? argument : JSON.stringify(argument ?? null);
}

function shapes(known: Readonly<Record<string, number>>): string {
  return Object.entries(known)
    .map(([name, count]) => `${name} with ${count}`)
    .join(', ');
}
