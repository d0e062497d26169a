/**
 * A history as JSON lines, one event each, and back. Documented for other programs in docs/testing.md.
 *
 *     {"tidemarkHistory":1,"source":"clients"}         the first line
 *     ["i",1,12.5,"c1",["SET","x","1"],"s1",7]         invoked: id, ms, client, call, and session and number
 *   if any
 *     ["a",1,14.25,"OK"]                               answered: id, ms, answer
 *     ["u",2,1020]                                     gave up: id, ms
 *     ["r",3,17,"TIDEMARK_BUSY"]                       refused, surely without effect: id, ms, reason
 *
 * The order of lines is the order of events. A last line that was cut is what a killed process leaves: it is
 * left out. Everything else that is wrong is an error: a history that lost lines must not be judged.
 */

import { TidemarkError } from '../../base/errors.ts';
import type { CommandIdentity, Json } from './operation.ts';

export const HISTORY_FORMAT_VERSION = 1;

/** One line of a history. */
export type HistoryEvent =
  | {
      readonly kind: 'invoke';
      readonly id: number;
      readonly ms: number;
      readonly client: string;
      readonly call: Json;
      readonly command: CommandIdentity | null;
    }
  | { readonly kind: 'answer'; readonly id: number; readonly ms: number; readonly answer: Json }
  | { readonly kind: 'unknown'; readonly id: number; readonly ms: number }
  | { readonly kind: 'refuse'; readonly id: number; readonly ms: number; readonly reason: string };

/** What was recorded in one place. */
export interface RecordedHistory {
  readonly source: string;
  readonly events: readonly HistoryEvent[];
}

export function encodeHeader(source: string): string {
  return JSON.stringify({ tidemarkHistory: HISTORY_FORMAT_VERSION, source });
}

export function encodeEvent(event: HistoryEvent): string {
  const { id, ms } = event;
  switch (event.kind) {
    case 'invoke': {
      const { client, call, command } = event;
      return JSON.stringify([
        'i',
        id,
        ms,
        client,
        call,
        ...(command ? [command.session, command.number] : []),
      ]);
    }
    case 'answer':
      return JSON.stringify(['a', id, ms, event.answer]);
    case 'unknown':
      return JSON.stringify(['u', id, ms]);
    case 'refuse':
      return JSON.stringify(['r', id, ms, event.reason]);
  }
}

/**
 * The history in a file. Throws TIDEMARK_HISTORY_INVALID, with the line, for anything that is not one.
 * @param text The whole file. A last line without its newline that cannot be read was being written.
 */
export function decodeHistory(text: string): RecordedHistory {
  const lines = text.split('\n');
  const cut = lines.pop()!;
  if (cut !== '' && parse(cut) !== undefined) lines.push(cut);
  const source = decodeHeader(parse(lines[0] ?? ''));
  if (source === null) throw invalid(1, 'it is no history, or of a newer version');
  const events = lines.slice(1).map((line, at) => {
    const event = decodeEvent(parse(line));
    if (event === null) throw invalid(at + 2, 'it is no event');
    return event;
  });
  return { source, events };
}

function decodeHeader(line: unknown): string | null {
  if (typeof line !== 'object' || line === null) return null;
  const { tidemarkHistory, source } = line as Record<string, unknown>;
  return tidemarkHistory === HISTORY_FORMAT_VERSION && typeof source === 'string' ? source : null;
}

function decodeEvent(line: unknown): HistoryEvent | null {
  if (!Array.isArray(line)) return null;
  const [tag, id, ms, ...rest] = line as Json[];
  if (!isCount(id) || typeof ms !== 'number') return null;
  const [first, second] = rest;
  switch (tag) {
    case 'i':
      return decodeInvoke(id, ms, rest);
    case 'a':
      return rest.length === 1 ? { kind: 'answer', id, ms, answer: first! } : null;
    case 'u':
      return rest.length === 0 ? { kind: 'unknown', id, ms } : null;
    case 'r':
      return typeof first === 'string' && second === undefined
        ? { kind: 'refuse', id, ms, reason: first }
        : null;
    default:
      return null;
  }
}

function decodeInvoke(id: number, ms: number, rest: readonly Json[]): HistoryEvent | null {
  const [client, call, session, number] = rest;
  if (typeof client !== 'string' || call === undefined) return null;
  if (rest.length === 2) return { kind: 'invoke', id, ms, client, call, command: null };
  if (rest.length !== 4 || typeof session !== 'string' || !isCount(number)) return null;
  return { kind: 'invoke', id, ms, client, call, command: { session, number } };
}

function isCount(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // No line of a history; the caller says so, with its number.
  }
}

function invalid(line: number, what: string): TidemarkError {
  return new TidemarkError('TIDEMARK_HISTORY_INVALID', `line ${line} of a history cannot be read: ${what}`, {
    remedy: 'fix-call',
    facts: { line },
  });
}
