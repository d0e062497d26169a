/**
 * What one client asked of a system, when, and what it learned. A history is a list of these; every checker
 * of `testing/` that judges clients reads nothing else.
 *
 * Calls and answers are plain JSON, so that a history can be saved, read elsewhere and printed. A call is
 * commonly a list, the name first: `['SET', 'greeting', 'hello']`.
 */

/** What JSON can hold. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** Who sent a command, and which of its commands it was: what makes a retry the same command. */
export interface CommandIdentity {
  readonly session: string;
  readonly number: number;
}

/** How an operation ended for its client. */
export type Outcome =
  | { readonly kind: 'answered'; readonly answer: Json }
  /** No answer came. It may have taken effect, may do so at any time, or never. */
  | { readonly kind: 'unknown' }
  /** The system said that it has not taken effect and never will. */
  | { readonly kind: 'refused'; readonly reason: string };

/** One operation of one client. */
export interface Operation {
  readonly client: string;
  readonly call: Json;
  readonly outcome: Outcome;
  /**
   * Place of the invocation in the order of events. An operation precedes those invoked after it returned.
   */
  readonly invokedAt: number;
  /** Place of the return in the order of events; Infinity when none was seen. */
  readonly returnedAt: number;
  /** When it was invoked, in milliseconds of whatever clock; for people. */
  readonly invokedMs: number;
  /** When it returned, by the same clock; null when it did not. */
  readonly returnedMs: number | null;
  /** Null for reads, and for systems without sessions. */
  readonly command: CommandIdentity | null;
}

/** Whether two values are equal as JSON. */
export function isSameJson(one: Json, other: Json): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (Array.isArray(one) || Array.isArray(other)) return isSameList(one, other);
  const names = Object.keys(one);
  if (names.length !== Object.keys(other).length) return false;
  const [left, right] = [one, other] as [{ [name: string]: Json }, { [name: string]: Json }];
  return names.every((name) => Object.hasOwn(right, name) && isSameJson(left[name]!, right[name]!));
}

/** A call or an answer as a line for people: `SET greeting hello`, `"hello"`, `[1,2]`. */
export function shownCall(call: Json): string {
  if (!Array.isArray(call)) return JSON.stringify(call);
  return call.map((part) => (typeof part === 'string' ? part : shownPart(part))).join(' ');
}

/** What came of an operation, as people read it. */
export function shownOutcome(outcome: Outcome): string {
  if (outcome.kind === 'answered') return JSON.stringify(outcome.answer);
  return outcome.kind === 'unknown' ? 'no answer' : `refused: ${outcome.reason}`;
}

/** A call within a call, as those of a transaction, stands in brackets. */
function shownPart(part: Json): string {
  if (!Array.isArray(part)) return JSON.stringify(part);
  const isCalls = part.every((inner) => Array.isArray(inner));
  return isCalls ? `(${part.map((inner) => shownCall(inner as Json)).join('; ')})` : JSON.stringify(part);
}

function isSameList(one: Json, other: Json): boolean {
  if (!Array.isArray(one) || !Array.isArray(other) || one.length !== other.length) return false;
  return one.every((item, at) => isSameJson(item as Json, other[at] as Json));
}
