/**
 * A call of a machine made with `machine({...})`, as the bytes of its command: MessagePack of the name and,
 * when there is one, the argument. Shown without the machine, for tools that have only the log.
 */

import { TidemarkError } from '../base/errors.ts';
import { decodeValue, encodeValue } from './codec.ts';

/** Longest argument that `describeCall` shows whole, in UTF-16 units. */
const SHOWN_MAX = 1024;

export interface DecodedCall {
  readonly name: string;
  /** Undefined when there is none. */
  readonly argument: unknown;
}

/** @throws TidemarkError TIDEMARK_VALUE_UNENCODABLE. */
export function encodeCall(called: string, args: readonly unknown[]): Uint8Array {
  return encodeValue([called, ...args], `the argument of ${called}`);
}

/** @throws TidemarkError TIDEMARK_VALUE_UNENCODABLE, and what MessagePack throws when it is none. */
export function decodeCall(command: Uint8Array): DecodedCall {
  const call = decodeValue(command);
  if (Array.isArray(call) && typeof call[0] === 'string') return { name: call[0], argument: call[1] };
  throw new TidemarkError('TIDEMARK_VALUE_UNENCODABLE', 'a command is not a call of this machine', {
    remedy: 'fix-call',
  });
}

/**
 * The call as a person would write it, `deposit({"to":"alice"})`; null for bytes that are no call. Never
 * throws.
 */
export function describeCall(command: Uint8Array): string | null {
  try {
    const { name, argument } = decodeCall(command);
    // Names of calls are written in code: such a one is of another kind of machine.
    if (/\p{Cc}/u.test(name)) return null;
    if (argument === undefined) return `${name}()`;
    const shown = JSON.stringify(argument, forJson).replace(/\p{Cc}/gu, '·');
    return `${name}(${shown.length > SHOWN_MAX ? `${shown.slice(0, SHOWN_MAX)}…` : shown})`;
  } catch {
    return null;
  }
}

/** A Buffer has turned itself into an object before it gets here: `this` still has it. */
function forJson(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const own = this[key];
  if (own instanceof Uint8Array) return `${own.length} bytes`;
  return typeof value === 'bigint' ? `${value}n` : value;
}
