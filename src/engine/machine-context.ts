/** What the commands and queries of `machine({...})` get beside tables and argument. */

import type { Index } from '../base/positions.ts';
import type { CommandContext } from './machine.ts';
import type { Reject } from './refusal.ts';

/** What a query gets: no entry, and so no index and no time. */
export interface QueryContext<Errors> {
  readonly reject: Reject<Errors>;
}

/** What a command gets: index and time of its entry, too. One object serves a whole entry: do not keep it. */
export interface MachineContext<Errors> extends CommandContext, QueryContext<Errors> {}

/** Makes contexts: one for each entry, not for each command. */
export function contextMaker<Errors>(
  reject: Reject<Errors>,
): (context: CommandContext) => MachineContext<Errors> {
  let last: { readonly of: CommandContext; readonly made: MachineContext<Errors> } | null = null;
  return (of) => {
    if (last?.of === of) return last.made;
    last = { of, made: new EntryContext(of, reject) };
    return last.made;
  };
}

/** Asks the entry's own context each time: who keeps this one has kept nothing else. */
class EntryContext<Errors> implements MachineContext<Errors> {
  readonly reject: Reject<Errors>;
  readonly #context: CommandContext;

  constructor(context: CommandContext, reject: Reject<Errors>) {
    this.#context = context;
    this.reject = reject;
  }

  get index(): Index {
    return this.#context.index;
  }

  get time(): number {
    return this.#context.time;
  }
}
