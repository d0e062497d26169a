/**
 * The transaction of one client: what it has queued since MULTI, and the keys that it watches.
 *
 * Queueing depends on the order of the client's requests alone, so it happens as they come in, before
 * earlier ones are answered. What EXEC runs travels as one command of the log (keyvalue/transaction.ts).
 */

import { assert } from '../base/assert.ts';
import { copyOf } from '../base/bytes.ts';
import { Rejection } from '../engine/machine.ts';
import { keyAt } from '../keyvalue/key-space.ts';
import { ErrorReply, OK, type ReplyValue, ServerRequest } from '../keyvalue/reply-value.ts';
import { ARGUMENTS_MAX, type Request, RequestParser } from '../keyvalue/request.ts';
import { encodeTransaction, type TransactionMode, type WatchedKey } from '../keyvalue/transaction.ts';
import { digestOfKey } from '../keyvalue/watch.ts';
import type { StateReader } from '../state/state.ts';
import type { PortCommand, Session } from './connection-command.ts';

/** Bytes of the commands of one transaction, about: they become one command, which holds one large value. */
export const TRANSACTION_BYTES_MAX = 16 * 1024 * 1024;

/** Keys that one client may watch. */
export const WATCHED_KEYS_MAX = 16 * 1024;

/** What one queued argument costs besides its bytes, about. */
const ARGUMENT_OVERHEAD_BYTES = 32;

/**
 * - `reply`, `refuse`: answer so, in turn.
 * - `run`: have the ordering take the command; its answer is that of EXEC.
 * - `watch`: read what the keys hold, and call `watch` with that.
 */
export type TransactionStep =
  | { readonly kind: 'reply'; readonly value: ReplyValue }
  | { readonly kind: 'refuse'; readonly text: string }
  | { readonly kind: 'run'; readonly command: Uint8Array }
  | { readonly kind: 'watch' };

export class ClientTransaction {
  #isOpen = false;
  #isAborted = false;
  #commands: (readonly Uint8Array[])[] = [];
  #arguments = 0;
  #bytes = 0;
  readonly #watched = new Map<string, WatchedKey>();

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Memory that it holds, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A command was refused while it was open: EXEC will run nothing. */
  abort(): void {
    if (this.#isOpen) this.#isAborted = true;
  }

  /** What MULTI, EXEC, DISCARD, WATCH, UNWATCH or TIDEMARK ATOMIC has the connection do. */
  step(name: string): TransactionStep {
    if (name === 'multi') {
      if (this.#isOpen) return { kind: 'refuse', text: 'ERR MULTI calls can not be nested' };
      this.#isOpen = true;
      return { kind: 'reply', value: OK };
    }
    if (name === 'watch') {
      if (this.#isOpen) return { kind: 'refuse', text: 'ERR WATCH inside MULTI is not allowed' };
      return { kind: 'watch' };
    }
    if (name === 'unwatch') {
      this.#unwatch();
      return { kind: 'reply', value: OK };
    }
    const word = name.slice(name.indexOf('|') + 1);
    if (!this.#isOpen) return { kind: 'refuse', text: `ERR ${word.toUpperCase()} without MULTI` };
    const step: TransactionStep =
      word === 'discard' ? { kind: 'reply', value: OK } : this.#execution(word === 'exec' ? 'each' : 'all');
    this.reset();
    return step;
  }

  /** Queues a command; returns why not. */
  queue(request: Request, command: PortCommand): string | null {
    const isForbidden = command.kind === 'connection' && (command.isSlow || command.name === 'hello');
    const words = isForbidden
      ? []
      : Array.from({ length: request.count }, (_, at) => copyOf(request.argument(at)));
    const bytes = words.reduce((sum, word) => sum + word.length + ARGUMENT_OVERHEAD_BYTES, 0);
    const count = this.#arguments + words.length + 1;
    const isTooLarge = this.#bytes + bytes > TRANSACTION_BYTES_MAX || count > ARGUMENTS_MAX / 2;
    if (isForbidden || isTooLarge) {
      this.abort();
      return isForbidden
        ? 'ERR Command not allowed inside a transaction'
        : 'ERR the transaction is too large';
    }
    this.#commands.push(words);
    this.#arguments = count;
    this.#bytes += bytes;
    return null;
  }

  /** Notes what the keys of a WATCH hold; one that is watched already goes on as it was. */
  watch(state: StateReader, request: Request): void {
    for (let at = 1; at < request.count; at++) {
      const digest = digestOfKey(state, keyAt(request, at));
      const name = Buffer.from(request.argument(at)).toString('latin1');
      if (this.#watched.has(name)) continue;
      if (this.#watched.size === WATCHED_KEYS_MAX) {
        throw new Rejection(`ERR a client watches at most ${WATCHED_KEYS_MAX} keys`);
      }
      const watched = { key: copyOf(request.argument(at)), digest: copyOf(digest) };
      this.#watched.set(name, watched);
      this.#bytes += bytesOf(watched);
    }
  }

  #unwatch(): void {
    for (const watched of this.#watched.values()) this.#bytes -= bytesOf(watched);
    this.#watched.clear();
  }

  #execution(mode: TransactionMode): TransactionStep {
    if (this.#isAborted) {
      return { kind: 'refuse', text: 'EXECABORT Transaction discarded because of previous errors.' };
    }
    if (this.#commands.length === 0 && this.#watched.size === 0) return { kind: 'reply', value: [] };
    return { kind: 'run', command: encodeTransaction(mode, [...this.#watched.values()], this.#commands) };
  }

  /** Forgets everything. */
  reset(): void {
    this.#isOpen = false;
    this.#isAborted = false;
    this.#commands = [];
    this.#arguments = 0;
    this.#watched.clear();
    this.#bytes = 0;
  }
}

/** The answers of a transaction with those filled in that are the server's to give. */
export function completed(value: ReplyValue, session: Session): ReplyValue {
  if (!Array.isArray(value)) return value;
  const replies = value as readonly ReplyValue[];
  if (!replies.some((reply) => reply instanceof ServerRequest)) return value;
  return replies.map((reply) => (reply instanceof ServerRequest ? answerTo(reply.frame, session) : reply));
}

function answerTo(frame: Uint8Array, session: Session): ReplyValue {
  const request = new RequestParser();
  assert(request.parseWhole(frame), 'a queued command is a whole request');
  const command = session.server.find(request);
  if (command === null || command.kind === 'transaction') return OK; // UNWATCH: EXEC has done that.
  assert(command.kind === 'connection' && !command.isSlow, `${command.name} is answered here`);
  try {
    const reply = command.run(session, request);
    assert(!(reply instanceof Promise), `${command.name} answers at once`);
    return reply;
  } catch (error) {
    if (!(error instanceof Rejection)) throw error;
    return new ErrorReply(error.message);
  }
}

function bytesOf({ key, digest }: WatchedKey): number {
  return 2 * key.length + digest.length + ARGUMENT_OVERHEAD_BYTES;
}
