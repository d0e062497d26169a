/**
 * Errors that a machine declares: each a code with facts, both known to the compiler wherever the machine is
 * used.
 *
 *     errors: { insufficientFunds: refusal<{ missing: number }>('the account lacks the money') }
 *
 * A command or query calls `reject('insufficientFunds', { missing: 30 })`, and the caller gets a `Rejection`
 * with that code and these facts.
 */

import { TidemarkError } from '../base/errors.ts';
import { decodeValue, encodeValue } from './codec.ts';
import { Rejection } from './machine.ts';

/** What `refusal<Facts>()` declares. */
export interface RefusalDefinition<Facts> {
  readonly kind: 'refusal';
  /** What the error says to people; its code when nothing was given. */
  readonly message: string | null;
  /** Never set; it carries the type of the facts. */
  readonly facts?: Facts;
}

/** Errors by code. */
export type RefusalDefinitions = Readonly<Record<string, RefusalDefinition<unknown>>>;

/**
 * Declares an error of a machine.
 *
 * `Facts` go with each such error: plain data, what a table can hold (see `table`). Without a type there are
 * none.
 * @param message What the error says to people. @default its code
 */
export function refusal(message?: string): RefusalDefinition<undefined>;
export function refusal<Facts>(message?: string): RefusalDefinition<Facts>;
export function refusal(message?: string): RefusalDefinition<unknown> {
  return { kind: 'refusal', message: message ?? null };
}

/** The facts of a declared error. */
type FactsOf<Definition> = Definition extends RefusalDefinition<infer Facts> ? Facts : never;

/** A `Rejection` of a declared error, with its code and facts. */
export type DeclaredRejection<Errors, Code extends keyof Errors> = Rejection & {
  readonly code: Code;
  readonly facts: FactsOf<Errors[Code]>;
};

/** A `Rejection` of any declared error: the code tells which. */
export type RejectionOf<Errors> = {
  readonly [Code in keyof Errors]: DeclaredRejection<Errors, Code>;
}[keyof Errors];

/** A `Rejection` that was not declared: made by `new Rejection(message)`. */
export type PlainRejection = Rejection & { readonly code: null };

/** Nothing where an error has no facts. */
type FactsArguments<Facts> = [Facts] extends [undefined] ? [] : [facts: Facts];

/**
 * Refuses with a declared error: throws it, so that all writes of the command are undone and the caller gets
 * the code and the facts. It never returns; the compiler sees that only where it is written as `throw
 * reject(…)` or `return reject(…)`.
 * @throws Rejection; TidemarkError TIDEMARK_VALUE_UNENCODABLE for facts that are no plain data,
 *   TIDEMARK_REJECTION_UNDECLARED.
 */
export type Reject<Errors> = <Code extends keyof Errors & string>(
  code: Code,
  ...facts: FactsArguments<FactsOf<Errors[Code]>>
) => never;

/** `reject` of a machine. The facts are copied: what the caller gets, nobody else holds. */
export function rejectWith<Errors extends RefusalDefinitions>(
  machine: string,
  errors: Errors,
): Reject<Errors> {
  return (code, ...[facts]) => {
    const declared = Object.hasOwn(errors, code) ? errors[code] : undefined;
    if (declared === undefined) throw undeclared(machine, code, Object.keys(errors));
    const copied = facts === undefined ? undefined : decodeValue(encodeValue(facts, `the facts of ${code}`));
    throw new Rejection(declared.message ?? code, { code, facts: copied });
  };
}

/** For programs that the compiler did not see. */
function undeclared(machine: string, code: string, known: readonly string[]): TidemarkError {
  const listed = known.length === 0 ? 'it declares none' : `it declares ${known.join(', ')}`;
  return new TidemarkError(
    'TIDEMARK_REJECTION_UNDECLARED',
    `the machine ${machine} rejected with the code ${code}; ${listed}`,
    { remedy: 'fix-call', facts: { machine, code } },
  );
}
