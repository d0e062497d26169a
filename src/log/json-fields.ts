/**
 * Rules for the fields of canonical JSON on disk: of the status (status-content.ts), and of the index files
 * of checkpoints. Each takes whatever was parsed, and never throws.
 *
 * Pure: no I/O, no clock.
 */

/** Longest name of a machine, in UTF-16 units. */
export const MACHINE_NAME_MAX = 64;

/** Members of one cluster. */
export const MEMBERS_MAX = 64;

/** The parsed text, or null, which is no object either. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isIntegerFrom(
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): (value: unknown) => boolean {
  // -0 is refused: JSON writes it as 0, so it would not come back as it is.
  return (value) =>
    Number.isSafeInteger(value) &&
    (value as number) >= min &&
    (value as number) <= max &&
    !Object.is(value, -0);
}

/** Lower-case hexadecimal digits, so many. */
export function isHex(digits: number): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && value.length === digits && /^[0-9a-f]*$/.test(value);
}

export function isMachine(value: unknown): boolean {
  return isObject(value) && isMachineName(value['name']) && isIntegerFrom(1)(value['version']);
}

/** What a machine may be called: JSON then takes at most three bytes for a UTF-16 unit. */
export function isMachineName(value: unknown): value is string {
  if (typeof value !== 'string' || value.length < 1 || value.length > MACHINE_NAME_MAX) return false;
  return value.isWellFormed() && !/\p{Cc}/u.test(value);
}

/** Members by ascending id. */
export function isMembership(value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0 || value.length > MEMBERS_MAX) return false;
  let previousId = 0;
  for (const member of value as unknown[]) {
    if (!isObject(member)) return false;
    const { id, role } = member;
    if (!isIntegerFrom(previousId + 1)(id)) return false;
    if (role !== 'voter' && role !== 'learner') return false;
    previousId = id as number;
  }
  return true;
}
