/** A value that somebody gave, and where; a fault, and where. */

/** Where a value comes from, in the order of precedence: the last wins. */
export type Origin =
  | { readonly kind: 'default' }
  /** Lines and columns are counted from 1; both are null for what concerns the whole file. */
  | {
      readonly kind: 'file';
      readonly file: string;
      readonly line: number | null;
      readonly column: number | null;
    }
  | { readonly kind: 'environment'; readonly variable: string }
  | { readonly kind: 'flag'; readonly flag: string };

export interface Setting {
  readonly key: string;
  readonly value: unknown;
  readonly origin: Origin;
}

export interface Fault {
  /** Null when it concerns no key. */
  readonly key: string | null;
  readonly origin: Origin;
  /** What was found and what is wanted. Holds no secret. */
  readonly message: string;
}

/** What one source brings. */
export interface Source {
  readonly settings: readonly Setting[];
  readonly faults: readonly Fault[];
}

export function describeOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'default':
      return 'default';
    case 'file':
      return origin.line === null ? origin.file : `${origin.file}:${origin.line}:${origin.column}`;
    case 'environment':
      return origin.variable;
    case 'flag':
      return origin.flag;
  }
}

export function describeFault({ key, origin, message }: Fault): string {
  return `${describeOrigin(origin)}: ${key === null ? '' : `${key}: `}${message}`;
}

/** Longest value that is shown whole. */
const SHOWN_CHARS_MAX = 60;

/** Completes "found …". */
export function describeFound(value: unknown, isSecret: boolean): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Date) return 'a date';
  if (typeof value === 'object') return 'a table';
  if (isSecret) return value === '' ? 'an empty text' : `a ${typeof value}`;
  const shown = typeof value === 'number' ? String(value) : JSON.stringify(value); // JSON knows no NaN.
  return shown.length <= SHOWN_CHARS_MAX ? shown : `${shown.slice(0, SHOWN_CHARS_MAX)}…`;
}
