/**
 * What became of every command, by its identity (session and number):
 *  - none that was acknowledged is lost,
 *  - none takes effect twice, however often it was sent,
 *  - those of one session take effect in the order of their numbers,
 *  - the indices that a client sees with its answers never go back, and are where its command took effect.
 *
 * The order of all commands comes from the replicas: any of them reports what takes effect, one or all. That
 * they agree is state machine safety, and checked there.
 */

import type { CommandIdentity } from '../history/operation.ts';
import type { Violation } from './violation.ts';

/** A command took effect. A retry that only got the stored answer did not. */
export interface CommandApplied extends CommandIdentity {
  readonly index: number;
}

/** A client got the answer to a command of its own. */
export interface CommandAcknowledged extends CommandIdentity {
  readonly client: string;
  /** The index that came with the answer; null where answers have none. */
  readonly index: number | null;
}

/** Checks commands as they take effect and are acknowledged; what was lost, at the end. */
export class CommandLedger {
  /** Where each command took effect. */
  readonly #applied = new Map<string, CommandApplied>();
  readonly #lastOfSession = new Map<string, CommandApplied>();
  readonly #acknowledged = new Map<string, CommandAcknowledged>();
  readonly #lastSeen = new Map<string, number>();

  applied(command: CommandApplied): Violation | null {
    const key = keyOf(command);
    const before = this.#applied.get(key);
    if (before?.index === command.index) return null; // Another replica.
    if (before !== undefined) {
      return violation('applied-once', command, `took effect at ${before.index} and at ${command.index}`);
    }
    this.#applied.set(key, command);
    const last = this.#lastOfSession.get(command.session);
    const isLater = last === undefined || command.index > last.index;
    if (isLater) this.#lastOfSession.set(command.session, command);
    if (last === undefined || isLater === command.number > last.number || last.index === command.index)
      return null;
    return violation(
      'session-order',
      command,
      `took effect at ${command.index}, ${last.number} at ${last.index}`,
    );
  }

  acknowledged(command: CommandAcknowledged): Violation | null {
    this.#acknowledged.set(keyOf(command), command);
    const { client, index } = command;
    if (index === null) return null;
    const last = this.#lastSeen.get(client) ?? 0;
    if (index < last) {
      return violation(
        'monotonic-index',
        command,
        `was answered with index ${index} after ${client} saw ${last}`,
      );
    }
    this.#lastSeen.set(client, index);
    return null;
  }

  /** Everything that was acknowledged and is not there, or elsewhere. */
  end(): Violation[] {
    return [...this.#acknowledged].flatMap(([key, command]) => {
      const applied = this.#applied.get(key);
      if (applied === undefined) {
        return [violation('acknowledged-kept', command, 'was acknowledged and never took effect')];
      }
      if (command.index === null || command.index === applied.index) return [];
      const what = `was acknowledged at ${command.index} and took effect at ${applied.index}`;
      return [violation('acknowledged-kept', command, what)];
    });
  }
}

function keyOf({ session, number }: CommandIdentity): string {
  return `${number}/${session}`;
}

function violation(checker: string, { session, number }: CommandIdentity, what: string): Violation {
  return { checker, message: `command ${number} of session ${session} ${what}`, facts: { session, number } };
}
