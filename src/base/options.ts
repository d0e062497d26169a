/** Checks of options, used once at the edge; inside, options are complete and valid. */

import { TidemarkError } from './errors.ts';

/** Throws TIDEMARK_OPTION_INVALID unless `value` is an integer from `min` to `max`, both included. */
export function requireInteger(name: string, value: unknown, min: number, max: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return;
  throw invalidOption(name, value, `an integer from ${min} to ${max}`);
}

/**
 * Throws TIDEMARK_OPTION_INVALID for a name that no option has: a typing error must not pass as a default.
 * @param where Whose options they are, as a message names it.
 * @param known Holds a field of each name there is.
 */
export function requireKnownOptions(where: string, options: unknown, known: object): void {
  if (typeof options !== 'object' || options === null) throw invalidOption(where, options, 'an object');
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name)) continue;
    throw new TidemarkError(
      'TIDEMARK_OPTION_INVALID',
      `${where} has no option ${name}; known are ${Object.keys(known).join(', ')}`,
      { remedy: 'fix-call', facts: { option: name } },
    );
  }
}

/** Throws TIDEMARK_OPTION_INVALID unless `signal` is an AbortSignal or left out: then it is null. */
export function resolveSignal(signal: AbortSignal | undefined): AbortSignal | null {
  if (signal === undefined || signal instanceof AbortSignal) return signal ?? null;
  throw invalidOption('signal', signal, 'an AbortSignal');
}

export function invalidOption(name: string, value: unknown, wanted: string): TidemarkError {
  const shown = JSON.stringify(value) ?? String(value);
  return new TidemarkError('TIDEMARK_OPTION_INVALID', `${name} must be ${wanted}, got ${shown}`, {
    remedy: 'fix-call',
    facts: { option: name, value: shown },
  });
}

/**
 * Two options of which one demands what the other forbids. Names are those that a program writes, as in
 * `adaptive.pauseMsMin`.
 * @param why What must hold of the two.
 */
export function contradictingOptions(
  one: readonly [name: string, value: unknown],
  other: readonly [name: string, value: unknown],
  why: string,
): TidemarkError {
  const [[option, value], [otherOption, otherValue]] = [one, other];
  return new TidemarkError(
    'TIDEMARK_OPTION_INVALID',
    `${option}, ${String(value)}, and ${otherOption}, ${String(otherValue)}, contradict each other: ${why}`,
    {
      remedy: 'fix-call',
      facts: { option, value: String(value), other: otherOption, otherValue: String(otherValue) },
    },
  );
}
