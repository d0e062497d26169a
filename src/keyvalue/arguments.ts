/** Arguments of commands as what they mean: integers, bounds, options. */

import { addIntegers, INTEGER_MAX, INTEGER_MIN, type Integer, parseInteger } from './integer.ts';
import { DEADLINE_MAX } from './layout.ts';
import { invalidExpiry, notAnInteger } from './refusals.ts';
import type { Request } from './request.ts';

/** All the values of one reply: a request that names a large value many times must not fill the memory. */
export const REPLY_BYTES_MAX = 64 * 1024 * 1024;

export function integerAt(request: Request, at: number): Integer {
  const value = parseInteger(request.bytes, request.argumentStart(at), request.argumentLength(at));
  if (value === null) throw notAnInteger();
  return value;
}

/** An integer as a number: beyond 2^53 it is as good as without bound. */
export function numberAt(request: Request, at: number): number {
  return Number(integerAt(request, at));
}

export type TimeUnit = 's' | 'ms';

/**
 * The deadline that an argument gives, in milliseconds since 1970 and possibly past; as Redis, none that does
 * not fit 64 bits.
 * @param base Milliseconds that it counts from: 0 when it is a point in time.
 */
export function deadlineAt(
  request: Request,
  at: number,
  { unit, base, command }: { readonly unit: TimeUnit; readonly base: number; readonly command: string },
): number {
  const value = BigInt(integerAt(request, at));
  const ms = unit === 's' ? value * 1000n : value;
  if (ms > INTEGER_MAX || ms < INTEGER_MIN) throw invalidExpiry(command);
  const deadline = addIntegers(ms, base);
  if (deadline === null) throw invalidExpiry(command);
  return deadline > DEADLINE_MAX ? DEADLINE_MAX : Number(deadline);
}

/** The part of [0, length) that a start and an end, both inclusive and counted from the end when negative. */
export function rangeOf(first: number, last: number, length: number): { from: number; to: number } {
  if (first < 0 && last < 0 && first > last) return { from: 0, to: 0 };
  const from = first < 0 ? Math.max(first + length, 0) : first;
  const to = (last < 0 ? Math.max(last + length, 0) : Math.min(last, length - 1)) + 1;
  if (length === 0 || from >= to) return { from: 0, to: 0 };
  return { from, to };
}
