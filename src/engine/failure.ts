/** What an operation failed with, as plain data: recorded, and made an error again wherever it is read. */

import { decodeValue, encodeValue } from './codec.ts';
import { Rejection } from './machine.ts';

/** Longest name and message that are kept, in UTF-16 units: a record is for people, and has a bound. */
const TEXT_MAX = 1024;

const UNREADABLE = 'something was thrown that cannot be read';

/** Largest facts that are kept. */
const FACTS_BYTES_MAX = 16 * 1024;

export interface Failure {
  /** Name of the error's class. */
  readonly name: string;
  readonly message: string;
  /** Of a `Rejection`, which is a decision and no accident: its code and facts; null of everything else. */
  readonly rejection: { readonly code: string | null; readonly facts: unknown } | null;
}

/** Facts that are too large, or no plain data, are left out. */
export function failureOf(error: unknown): Failure {
  const name = textOf(() => (error instanceof Error ? error.name : 'Error'));
  const rejection = error instanceof Rejection ? { code: error.code, facts: keptFacts(error.facts) } : null;
  return { name, message: messageOf(error), rejection };
}

/** What an error says, cut short. Anything can be thrown, also what throws when it is looked at. */
export function messageOf(error: unknown): string {
  return textOf(() => (error instanceof Error ? error.message : error));
}

/** The error itself, or one in its place that can be asked what it is: a revoked proxy throws. */
export function tangible(error: unknown): unknown {
  try {
    void (error instanceof Error);
    return error;
  } catch {
    return new Error(UNREADABLE);
  }
}

/** The error as whoever waits gets it: a `Rejection` as one, everything else as an `Error` of that name. */
export function errorOf({ name, message, rejection }: Failure): Error {
  if (rejection === null) return Object.assign(new Error(message), { name });
  const { code, facts } = rejection;
  return new Rejection(message, code === null ? null : { code, facts });
}

function textOf(read: () => unknown): string {
  try {
    return String(read()).slice(0, TEXT_MAX).toWellFormed();
  } catch {
    return UNREADABLE;
  }
}

function keptFacts(facts: unknown): unknown {
  try {
    const bytes = encodeValue(facts, 'the facts');
    return bytes.length > FACTS_BYTES_MAX ? undefined : decodeValue(bytes);
  } catch {
    return undefined;
  }
}
