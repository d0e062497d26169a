/** What an operation failed with, as plain data: recorded, and made an error again wherever it is read. */

import { decodeValue, encodeValue } from './codec.ts';
import { Rejection } from './machine.ts';

/** Longest message that is kept, in UTF-16 units: a record is for people, and has a bound. */
const MESSAGE_MAX = 1024;

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
  const name = error instanceof Error ? error.name : 'Error';
  const message = messageOf(error);
  const rejection = error instanceof Rejection ? { code: error.code, facts: keptFacts(error.facts) } : null;
  return { name, message: message.slice(0, MESSAGE_MAX).toWellFormed(), rejection };
}

/** What an error says; whatever can be thrown has something to say. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The error as whoever waits gets it: a `Rejection` as one, everything else as an `Error` of that name. */
export function errorOf({ name, message, rejection }: Failure): Error {
  if (rejection === null) return Object.assign(new Error(message), { name });
  const { code, facts } = rejection;
  return new Rejection(message, code === null ? null : { code, facts });
}

function keptFacts(facts: unknown): unknown {
  try {
    const bytes = encodeValue(facts, 'the facts');
    return bytes.length > FACTS_BYTES_MAX ? undefined : decodeValue(bytes);
  } catch {
    return undefined;
  }
}
