/**
 * What clients of a system write down while they run: every invocation, and every return, in the order in
 * which they happened. The same in a simulation, with simulated time, and in real processes, with a monotonic
 * clock.
 *
 * Each event is one line of JSON as well (history-lines.ts), handed to `onLine` at once: what a process saw
 * is in its file even if it is killed.
 */

import { assert } from '../../base/assert.ts';
import { assembleHistory } from './assemble-history.ts';
import { encodeEvent, encodeHeader, type HistoryEvent } from './history-lines.ts';
import type { CommandIdentity, Json, Operation } from './operation.ts';

/** Options of a {@link HistoryRecorder}. */
export interface RecorderOptions {
  /** Milliseconds that never go back: `clock.monotonic`, or simulated time. */
  readonly now: () => number;
  /** Who records; needed when histories of several are judged together. @default 'clients' */
  readonly source?: string;
  /** Called with every line of the file, without its newline. */
  readonly onLine?: (line: string) => void;
}

/** Events that one recorder takes: 20 million are about 4 GB. */
export const HISTORY_EVENTS_MAX = 20_000_000;

/** Records one history. */
export class HistoryRecorder {
  readonly #now: () => number;
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #events: HistoryEvent[] = [];
  readonly #open = new Set<number>();
  #lastId = 0;

  constructor({ now, source = 'clients', onLine }: RecorderOptions) {
    this.#now = now;
    this.#onLine = onLine;
    onLine?.(encodeHeader(source));
  }

  /**
   * A client is about to send a call. Nothing of it may have left before.
   * @returns The id by which its return is recorded.
   */
  invoke(client: string, call: Json, command: CommandIdentity | null = null): number {
    const id = ++this.#lastId;
    this.#open.add(id);
    this.#add({ kind: 'invoke', id, ms: this.#now(), client, call, command });
    return id;
  }

  /** The client has its answer. */
  answer(id: number, answer: Json): void {
    this.#close(id);
    this.#add({ kind: 'answer', id, ms: this.#now(), answer });
  }

  /** The client gave up. What never returns at all counts as the same. */
  unknown(id: number): void {
    this.#close(id);
    this.#add({ kind: 'unknown', id, ms: this.#now() });
  }

  /** The system said that the call has no effect and never will. */
  refuse(id: number, reason: string): void {
    this.#close(id);
    this.#add({ kind: 'refuse', id, ms: this.#now(), reason });
  }

  /** The history so far. What is still open has an unknown outcome. */
  operations(): Operation[] {
    return assembleHistory(this.#events);
  }

  get count(): number {
    return this.#lastId;
  }

  #close(id: number): void {
    assert(this.#open.delete(id), `operation ${id} is open`);
  }

  #add(event: HistoryEvent): void {
    assert(this.#events.length < HISTORY_EVENTS_MAX, `a history has at most ${HISTORY_EVENTS_MAX} events`);
    this.#events.push(event);
    this.#onLine?.(encodeEvent(event));
  }
}
