/**
 * What one client knows about its keys: the state that the acknowledged commands give, and the commands that
 * are sent and not answered.
 *
 * Commands of one connection take effect in their order, and a crash keeps a prefix of all that was written.
 * So after a recovery the keys must hold, all together, exactly what the acknowledged commands and some first
 * few of the unanswered ones give. That says at once that nothing was lost, applied twice, torn or invented.
 */

import { strictEqual } from 'node:assert';
import type { Reply } from '../../src/cli/resp-client.ts';

export type Command =
  | { readonly kind: 'set'; readonly key: string; readonly value: string }
  | { readonly kind: 'increment'; readonly key: string }
  /** Two keys that must always be equal. */
  | { readonly kind: 'set-pair'; readonly keys: readonly [string, string]; readonly value: string }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'get'; readonly key: string };

/** Something that must never happen. `kind` is counted in the summary. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly kind: 'lost' | 'twice' | 'torn' | 'invented' | 'order' | 'answer' | 'taken-back';

  constructor(kind: Violation['kind'], message: string) {
    super(`${kind}: ${message}`);
    this.kind = kind;
  }
}

export class ClientModel {
  readonly #state = new Map<string, string>();
  #unanswered: Command[] = [];
  #writesAcknowledged = 0;

  get unansweredCount(): number {
    return this.#unanswered.length;
  }

  /** Commands that changed something and were acknowledged. */
  get writesAcknowledged(): number {
    return this.#writesAcknowledged;
  }

  /** Keys it holds, as far as it knows. */
  get size(): number {
    return this.#state.size;
  }

  sent(command: Command): void {
    this.#unanswered.push(command);
  }

  /** The oldest unanswered command took effect; its reply must be the one its predecessors make it. */
  answered(reply: Reply): void {
    const command = this.#unanswered.shift();
    if (command === undefined) throw new Violation('answer', `a reply nobody asked for: ${shorten(reply)}`);
    const wanted = apply(this.#state, command);
    if (reply !== wanted) {
      const kind = command.kind === 'increment' && Number(reply) > Number(wanted) ? 'twice' : 'answer';
      const what = `${command.kind} ${keyOf(command)}`;
      throw new Violation(kind, `${what} was answered ${shorten(reply)}, not ${shorten(wanted)}`);
    }
    if (command.kind !== 'get') this.#writesAcknowledged++;
  }

  /** The oldest unanswered command was refused: it must not take effect. */
  refused(): void {
    this.#unanswered.shift();
  }

  /**
   * Holds what was found after a recovery against what is possible, and goes on from it.
   * @param found Each key of this client with its value, or null.
   * @returns How many of the unanswered commands took effect.
   */
  recovered(found: ReadonlyMap<string, string | null>): number {
    const before = new Map(this.#state);
    const unanswered = this.#unanswered;
    for (let count = 0; ; count++) {
      if (isEqual(this.#state, found)) {
        this.#unanswered = [];
        return count;
      }
      if (count === unanswered.length) throw diagnose(before, unanswered, found);
      apply(this.#state, unanswered[count]!);
    }
  }
}

/** Changes `state` as the server must, and returns the reply it must give. */
function apply(state: Map<string, string>, command: Command): Reply {
  switch (command.kind) {
    case 'set':
      state.set(command.key, command.value);
      return 'OK';
    case 'set-pair':
      for (const key of command.keys) state.set(key, command.value);
      return 'OK';
    case 'increment': {
      const count = Number(state.get(command.key) ?? 0) + 1;
      state.set(command.key, String(count));
      return count;
    }
    case 'delete':
      return state.delete(command.key) ? 1 : 0;
    case 'get':
      return state.get(command.key) ?? null;
  }
}

export function requestOf(command: Command): string[] {
  switch (command.kind) {
    case 'set':
      return ['SET', command.key, command.value];
    case 'set-pair':
      return ['MSET', command.keys[0], command.value, command.keys[1], command.value];
    case 'increment':
      return ['INCR', command.key];
    case 'delete':
      return ['DEL', command.key];
    case 'get':
      return ['GET', command.key];
  }
}

function isEqual(state: ReadonlyMap<string, string>, found: ReadonlyMap<string, string | null>): boolean {
  for (const [key, value] of found) if ((state.get(key) ?? null) !== value) return false;
  return true;
}

/** Names what is wrong with a state that no number of unanswered commands explains. */
function diagnose(
  acknowledged: ReadonlyMap<string, string>,
  unanswered: readonly Command[],
  found: ReadonlyMap<string, string | null>,
): Violation {
  const possible = new Map([...found.keys()].map((key) => [key, [acknowledged.get(key) ?? null]]));
  const state = new Map(acknowledged);
  for (const command of unanswered) {
    apply(state, command);
    for (const key of keysOf(command)) possible.get(key)?.push(state.get(key) ?? null);
  }
  for (const [key, value] of found) {
    const wanted = possible.get(key) ?? [];
    if (wanted.includes(value)) continue;
    const [first] = wanted;
    const kind = numberOf(value) < numberOf(first) ? 'lost' : 'invented';
    const isCounter = key.endsWith(COUNTER_SUFFIX);
    const text = `${key} holds ${shorten(value)}; possible: ${wanted.map(shorten).join(', ')}`;
    return new Violation(kind === 'invented' && isCounter ? 'twice' : kind, text);
  }
  for (const command of unanswered) {
    if (command.kind !== 'set-pair') continue;
    const [one, other] = command.keys.map((key) => found.get(key));
    if (one !== other) return new Violation('torn', `${command.keys.join(' and ')} differ`);
  }
  return new Violation('order', 'each key alone is possible, but not all of them together');
}

/** Ends the name of every key that is only counted up. */
export const COUNTER_SUFFIX = ':counter';

/** The number a value begins with; growing for each key. */
export function numberOf(value: string | null | undefined): number {
  if (value === null || value === undefined) return 0;
  const number = Number.parseInt(value, 10);
  strictEqual(Number.isNaN(number), false, `a value begins with its number: ${shorten(value)}`);
  return number;
}

function keysOf(command: Command): readonly string[] {
  return command.kind === 'set-pair' ? command.keys : [command.key];
}

function keyOf(command: Command): string {
  return keysOf(command).join(' ');
}

function shorten(value: unknown): string {
  const text = value === null ? 'nothing' : JSON.stringify(value);
  return text.length <= 40 ? text : `${text.slice(0, 40)}… (${text.length} characters)`;
}
