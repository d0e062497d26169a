/** Checks of options, used once at the edge; inside, options are complete and valid. */

import { TidemarkError } from './errors.ts';

/** Throws TIDEMARK_OPTION_INVALID unless `value` is an integer from `min` to `max`, both included. */
export function requireInteger(name: string, value: unknown, min: number, max: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return;
  throw invalidOption(name, value, `an integer from ${min} to ${max}`);
}

/** Throws TIDEMARK_OPTION_INVALID unless `value` is one of `allowed`. */
export function requireOneOf(name: string, value: unknown, allowed: readonly string[]): void {
  if (typeof value === 'string' && allowed.includes(value)) return;
  throw invalidOption(name, value, `one of ${allowed.join(', ')}`);
}

/**
 * Throws TIDEMARK_OPTION_INVALID for a name that no option has: a typing error must not pass as a default.
 */
export function requireKnownOptions(options: object, known: object): void {
  for (const name of Object.keys(options)) {
    if (name in known) continue;
    throw new TidemarkError(
      'TIDEMARK_OPTION_INVALID',
      `there is no option ${name}; known are ${Object.keys(known).join(', ')}`,
      { remedy: 'fix-call', facts: { option: name } },
    );
  }
}

export function invalidOption(name: string, value: unknown, wanted: string): TidemarkError {
  const shown = JSON.stringify(value) ?? String(value);
  return new TidemarkError('TIDEMARK_OPTION_INVALID', `${name} must be ${wanted}, got ${shown}`, {
    remedy: 'fix-call',
    facts: { option: name, value: shown },
  });
}
