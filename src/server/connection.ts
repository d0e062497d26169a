/**
 * One client of the Redis port: its bytes in, its replies out, in the order of its requests.
 *
 * Writes and reads go to the ordering, which answers them in order; the connection itself is the sink of all
 * of them, so that no object is made per command. Only what cannot be answered where the ordering stands now,
 * a read behind a write or a PING behind either, waits in a queue with the number of operations before it.
 *
 * Invariants:
 *  - Replies leave in the order of the requests.
 *  - `#answered` ≤ `#enqueued`; what waits with `after` = n is answered when `#answered` reaches n.
 *  - Memory is bounded. Of each client: at OUTPUT_BYTES_PAUSE and WAITING_BYTES_MAX it is not read any more,
 *    until it has taken answers, or until the ordering has given them; at `outputBytesMax` it is dropped. Of
 *    all clients together: what waits for the disk (`isBackedUp`: none is read), and unfinished requests
 *    (`holdInput`: who sends more is dropped).
 */

import { assert } from '../base/assert.ts';
import { copyOf } from '../base/bytes.ts';
import { isTidemarkError } from '../base/errors.ts';
import { Fifo } from '../base/fifo.ts';
import { Rejection } from '../engine/machine.ts';
import { fitsArity } from '../keyvalue/command-table.ts';
import { unknownCommand, unknownSubcommand, wrongArity } from '../keyvalue/refusals.ts';
import { OK, type ReplyValue } from '../keyvalue/reply-value.ts';
import { type Request, type RequestParser, RequestProgress } from '../keyvalue/request.ts';
import type { Connection, ConnectionHandler } from '../network/connection.ts';
import type { CommandSink, ReadSink } from '../ordering/ordering.ts';
import type { StateReader } from '../state/state.ts';
import { ClientTransaction, completed } from './client-transaction.ts';
import type { PortCommand, ServerView, Session, TransactionCommand } from './connection-command.ts';
import type { ConnectionContext } from './connection-context.ts';
import { errorText } from './error-text.ts';
import { InputBuffer } from './input-buffer.ts';
import type { Protocol, ReplyBuffer } from './reply.ts';

/** Replies that a client has not taken, above which no more requests are taken from it. */
export const OUTPUT_BYTES_PAUSE = 1024 * 1024;

/** Requests that wait for earlier ones, above which no more are taken: some two thousand short reads. */
export const WAITING_BYTES_MAX = 256 * 1024;

/**
 * Output and waiting requests that a client may have however much the others hold: else the slow ones would
 * get the others dropped, which take their replies at once.
 */
export const OUTPUT_BYTES_SPARED = 64 * 1024;

/** Changes of a client's output below this many bytes are accounted for at the end of the turn only. */
const ACCOUNTED_BYTES_MIN = 16 * 1024;

/** What one waiting request costs besides its bytes, about. */
const WAITING_OVERHEAD_BYTES = 96;

/** What a browser sends when a web page makes it talk to this port: Redis drops it too. */
const BROWSER_WORDS = ['post', 'host:'];

/** Commands that a client may send before it has said the password. */
const OPEN_COMMANDS: ReadonlySet<string> = new Set(['auth', 'hello', 'quit', 'reset']);

/** Commands that act at once although a transaction is open. */
const UNQUEUED_COMMANDS: ReadonlySet<string> = new Set(['quit', 'reset']);

/**
 * An answer that must wait for those before it. `after` counts the operations of this connection before it.
 */
type Waiting =
  | { readonly kind: 'read' | 'local'; readonly after: number; readonly frame: Uint8Array }
  | { readonly kind: 'refused'; readonly after: number; readonly text: string }
  | { readonly kind: 'ready'; readonly after: number; readonly value: ReplyValue };

export class ClientConnection implements CommandSink, ReadSink, ConnectionHandler, Session {
  readonly id: number;
  name = '';
  libraryName = '';
  libraryVersion = '';
  protocol: Protocol = 2;
  isAuthenticated: boolean;

  readonly #context: ConnectionContext;
  readonly #socket: Connection;
  readonly #openedAtMs: number;

  readonly #input = new InputBuffer();
  readonly #progress = new RequestProgress();
  /** Requests are there, or may be, that are not taken for now. */
  #isStalled = false;
  /** A slow command was taken and is not answered yet. */
  #isHeld = false;
  /** WATCH commands not answered yet: what comes after them may depend on what they find. */
  #watchesWaiting = 0;
  readonly #transaction = new ClientTransaction();
  /** Bytes of it that the server counts as input of this client. */
  #transactionBytes = 0;

  /** Operations handed to the ordering, and those it has answered. */
  #enqueued = 0;
  #answered = 0;
  readonly #waiting = new Fifo<Waiting>();
  #waitingBytes = 0;
  /**
   * True while `enqueueRead` runs: a read that is answered within that call finds its request in the parser.
   */
  #isReadingNow = false;

  #output: ReplyBuffer | null = null;
  /** Bytes that the socket had buffered after the last write. */
  #bufferedBytes = 0;
  /** Bytes of output and of waiting requests that the server counts for this client. */
  #accountedBytes = 0;
  #isTurnEndDue = false;

  /** No further request is taken; closes when all taken ones are answered. */
  #isEnding = false;
  #hasPeerEnded = false;
  #isClosed = false;

  constructor(id: number, socket: Connection, context: ConnectionContext) {
    this.id = id;
    this.#socket = socket;
    this.#context = context;
    this.isAuthenticated = context.isPassword === null;
    this.#openedAtMs = context.monotonic();
  }

  get server(): ServerView {
    return this.#context;
  }

  get remoteAddress(): string {
    return this.#socket.remoteAddress;
  }

  get localAddress(): string {
    return this.#socket.localAddress;
  }

  get ageSeconds(): number {
    return Math.floor((this.#context.monotonic() - this.#openedAtMs) / 1000);
  }

  // --- What the network says -------------------------------------------------------------------------------

  data(chunk: Uint8Array): void {
    if (this.#isEnding) return;
    if (this.#input.length > 0 || this.#isStalled) {
      this.#keep(chunk);
      if (!this.#isStalled) this.#takeFromInput();
      return;
    }
    const next = this.#take(chunk, 0, chunk.length);
    if (next < chunk.length && !this.#isEnding) this.#keep(chunk.subarray(next));
  }

  flushed(): void {
    this.#bufferedBytes = 0;
    this.#account();
    this.proceed();
  }

  ended(): void {
    this.#hasPeerEnded = true;
    if (!this.#isStalled) this.quit();
  }

  closed(): void {
    this.#release();
    this.#context.forget(this);
  }

  // --- What the server says --------------------------------------------------------------------------------

  quit(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#dueTurnEnd();
  }

  /** Closes at once; replies not yet sent are lost. */
  drop(): void {
    this.#release();
    this.#socket.destroy();
  }

  /** One write for all replies of the turn; then what they made possible. */
  turnEnded(): void {
    this.#isTurnEndDue = false;
    if (this.#isClosed) return;
    this.#flush();
    this.#account();
    if (!this.#isEnding) this.proceed();
    else if (this.#enqueued === this.#answered && !this.#isHeld && !this.#isClosed) this.#socket.end();
  }

  /** Goes on taking requests if a bound had stopped that and no bound does any more. */
  proceed(): void {
    if (!this.#isStalled || this.#isEnding) return;
    if (!this.#mayTake()) {
      if (this.#context.isBackedUp) this.#context.awaitRoom(this);
      return;
    }
    this.#isStalled = false;
    this.#takeFromInput();
    if (this.#isStalled || this.#isEnding) return;
    if (this.#hasPeerEnded) this.quit();
    else this.#socket.resume();
  }

  // --- What the ordering says ------------------------------------------------------------------------------

  settle(result: unknown): void {
    this.#answered++;
    if (this.#isClosed) return;
    this.#reply(completed(result as ReplyValue, this));
    if (this.#waiting.length > 0) this.#answerWaiting();
  }

  fail(error: unknown): void {
    if (this.#isReadingNow) this.#isReadingNow = false;
    else if (this.#isReadNext()) this.#forgetRead(this.#shiftWaiting());
    this.#answered++;
    this.#refuse(errorText(error));
    this.#answerWaiting();
  }

  read(state: StateReader): void {
    if (this.#isClosed) return;
    if (this.#isReadingNow) {
      assert(
        this.#enqueued === this.#answered + 1,
        'a read is answered at once only when nothing is in flight',
      );
      this.#isReadingNow = false;
      this.#answered++;
      this.#answerRead(state, this.#context.parser);
      return;
    }
    assert(this.#isReadNext(), 'reads are answered in their order among the writes');
    const frame = (this.#shiftWaiting() as Waiting & { kind: 'read' }).frame;
    assert(this.#context.waitingParser.parseWhole(frame), 'a frame that was parsed once is parsed again');
    this.#answered++;
    this.#answerRead(state, this.#context.waitingParser);
    this.#answerWaiting();
  }

  // --- Requests --------------------------------------------------------------------------------------------

  #takeFromInput(): void {
    const input = this.#input;
    const next = this.#take(input.bytes, input.start, input.end);
    const allocated = input.allocatedBytes;
    if (this.#isEnding) input.clear();
    else input.consume(next - input.start);
    this.#context.holdInput(input.allocatedBytes - allocated);
  }

  /** Takes requests until the bytes or a bound end it, and returns the offset it has come to. */
  #take(bytes: Uint8Array, from: number, to: number): number {
    const parser = this.#context.parser;
    let at = from;
    while (at < to && !this.#isEnding) {
      if (!this.#mayTake()) {
        this.#stall();
        break;
      }
      const outcome = parser.parse(bytes, at, to, this.#progress);
      if (outcome === 'incomplete') break;
      if (outcome === 'invalid') {
        this.#refuseInTurn(`ERR Protocol error: ${parser.reason}`);
        this.quit();
        break;
      }
      at = parser.nextOffset;
      if (parser.count > 0) this.#dispatch(parser);
    }
    return at;
  }

  #mayTake(): boolean {
    if (this.#isHeld || this.#watchesWaiting > 0) return false;
    const unsent = this.#bufferedBytes + (this.#output === null ? 0 : this.#output.length);
    return unsent < OUTPUT_BYTES_PAUSE && this.#waitingBytes < WAITING_BYTES_MAX && !this.#context.isBackedUp;
  }

  #stall(): void {
    this.#isStalled = true;
    this.#socket.pause();
    if (this.#context.isBackedUp) this.#context.awaitRoom(this);
    this.#dueTurnEnd();
  }

  #dispatch(request: RequestParser): void {
    this.#context.commandsTaken++;
    const command = this.#context.table.find(request);
    if (command === null || !fitsArity(command, request.count) || isUnknownSubcommand(command, request)) {
      if (command?.name === 'exec' && this.#transaction.isOpen) return this.#refuseExec(command.name);
      this.#transaction.abort();
      this.#dispatchLocal(request, command);
    } else if (!this.isAuthenticated && !OPEN_COMMANDS.has(command.name)) {
      this.#refuseInTurn('NOAUTH Authentication required.');
    } else if (command.kind === 'transaction' && !(command.name === 'unwatch' && this.#transaction.isOpen)) {
      this.#dispatchTransaction(request, command);
    } else if (this.#transaction.isOpen && !UNQUEUED_COMMANDS.has(command.name)) {
      this.#queue(request, command);
    } else if (command.kind === 'write') {
      this.#enqueueWrite(request.frame());
    } else if (command.kind === 'read') {
      this.#enqueueRead(request);
    } else {
      if (command.name === 'reset') this.#transaction.reset();
      this.#dispatchLocal(request, command);
    }
  }

  // --- Transactions ----------------------------------------------------------------------------------------

  #dispatchTransaction(request: RequestParser, { name }: TransactionCommand): void {
    const step = this.#transaction.step(name);
    if (step.kind === 'reply') this.#replyInTurn(step.value);
    else if (step.kind === 'refuse') this.#refuseInTurn(step.text);
    else if (step.kind === 'run') this.#enqueueWrite(step.command);
    else if (this.#enqueueRead(request) === 'waiting') this.#watchesWaiting++;
    this.#countTransaction();
  }

  /** As Redis: an EXEC with arguments ends the transaction. */
  #refuseExec(name: string): void {
    this.#transaction.reset();
    this.#countTransaction();
    const reason = wrongArity(name).message.replace(/^ERR /, '');
    this.#refuseInTurn(`EXECABORT Transaction discarded because of: ${reason}`);
  }

  #queue(request: RequestParser, command: PortCommand): void {
    const refusal = this.#transaction.queue(request, command);
    if (refusal !== null) this.#refuseInTurn(refusal);
    else if (this.#countTransaction()) this.#replyInTurn('QUEUED');
  }

  /** Tells the server what the transaction holds. False when that was too much, and the client is dropped. */
  #countTransaction(): boolean {
    const change = this.#transaction.bytes - this.#transactionBytes;
    this.#transactionBytes += change;
    if (this.#context.holdInput(change) || change <= 0) return true;
    this.#context.clientsDropped++;
    this.drop();
    return false;
  }

  /** Notes what the keys of a WATCH hold. */
  #watch(state: StateReader, request: Request): ReplyValue {
    this.#watchAnswered();
    this.#transaction.watch(state, request);
    this.#countTransaction();
    return OK;
  }

  #enqueueWrite(frame: Uint8Array): void {
    this.#enqueued++; // Before the call: an ordering may answer within it.
    try {
      if (!this.#context.ordering.enqueue(frame, this)) this.#context.backUp();
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
      this.#enqueued--;
      this.#refuseInTurn(errorText(error));
    }
  }

  #enqueueRead(request: RequestParser): 'done' | 'waiting' {
    const after = this.#enqueued++;
    this.#isReadingNow = true;
    try {
      this.#context.ordering.enqueueRead(this);
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
      this.#isReadingNow = false;
      this.#enqueued--;
      this.#refuseInTurn(errorText(error));
      return 'done';
    }
    if (!this.#isReadingNow) return 'done';
    this.#isReadingNow = false;
    this.#wait({ kind: 'read', after, frame: copyOf(request.frame()) }, request.frameBytes);
    return 'waiting';
  }

  /** A request that needs no ordering: about the connection, or one that is refused for its name or arity. */
  #dispatchLocal(request: RequestParser, command: PortCommand | null): void {
    const isRunnable = command?.kind === 'connection' && fitsArity(command, request.count);
    if (isRunnable && command.isSlow) this.#isHeld = true;
    if (command === null && BROWSER_WORDS.some((word) => request.isWord(0, word))) {
      this.drop();
    } else if (this.#enqueued === this.#answered) {
      this.#answerLocal(request);
    } else {
      const frame = copyOf(request.frame());
      this.#wait({ kind: 'local', after: this.#enqueued, frame }, frame.length);
      if (command !== null && command.name === 'quit') this.quit();
    }
  }

  #wait(waiting: Waiting, bytes: number): void {
    this.#waiting.push(waiting);
    this.#waitingBytes += bytes + WAITING_OVERHEAD_BYTES;
    this.#checkOutput();
  }

  #shiftWaiting(): Waiting {
    const waiting = this.#waiting.shift();
    assert(waiting !== undefined, 'something waits');
    this.#waitingBytes -= bytesOf(waiting) + WAITING_OVERHEAD_BYTES;
    return waiting;
  }

  /** Whether the operation that the ordering answers next is a read. */
  #isReadNext(): boolean {
    const first = this.#waiting.first;
    return first !== undefined && first.kind === 'read' && first.after === this.#answered;
  }

  /** A read that will not be answered: a WATCH holds the client no longer. */
  #forgetRead(read: Waiting): void {
    assert(read.kind === 'read', 'a read fails as a read');
    assert(this.#context.waitingParser.parseWhole(read.frame), 'a frame is parsed again as it was');
    if (this.#context.table.find(this.#context.waitingParser)?.name === 'watch') this.#watchAnswered();
  }

  #watchAnswered(): void {
    if (this.#watchesWaiting === 0) return;
    this.#watchesWaiting--;
    this.#dueTurnEnd(); // Which goes on taking requests.
  }

  /** Answers what waited for no more than the answers given so far. */
  #answerWaiting(): void {
    for (;;) {
      const first = this.#waiting.first;
      if (first === undefined || first.kind === 'read' || first.after !== this.#answered) return;
      this.#shiftWaiting();
      if (first.kind === 'refused') {
        this.#refuse(first.text);
      } else if (first.kind === 'ready') {
        this.#reply(first.value);
      } else {
        assert(this.#context.waitingParser.parseWhole(first.frame), 'a frame is parsed again as it was');
        this.#answerLocal(this.#context.waitingParser);
      }
    }
  }

  // --- Answers ---------------------------------------------------------------------------------------------

  #answerLocal(request: RequestParser): void {
    const command = this.#context.table.find(request);
    if (command === null) return this.#refuse(unknownCommand(request).message);
    if (!fitsArity(command, request.count)) return this.#refuse(wrongArity(command.name).message);
    if (isUnknownSubcommand(command, request)) {
      return this.#refuse(unknownSubcommand(command.name, request).message);
    }
    assert(command.kind === 'connection', `${command.name} is answered here`);
    try {
      const reply = command.run(this, request);
      if (reply instanceof Promise) return this.#answerLater(reply);
      if (command.isSlow) this.#isHeld = false;
      this.#reply(reply);
    } catch (error) {
      if (command.isSlow) this.#isHeld = false;
      if (!(error instanceof Rejection)) throw error;
      this.#refuse(error.message);
    }
  }

  #answerLater(reply: Promise<ReplyValue>): void {
    assert(this.#isHeld, 'nothing is taken behind a slow command');
    const answer = (give: () => void): void => {
      this.#isHeld = false;
      give();
      if (!this.#isClosed) this.#dueTurnEnd(); // Which goes on taking requests.
    };
    reply.then(
      (value) => answer(() => this.#reply(value)),
      (error: unknown) => answer(() => this.#refuse(errorText(error))),
    );
  }

  #answerRead(state: StateReader, request: RequestParser): void {
    const command = this.#context.table.find(request);
    assert(command !== null, 'a request that was taken is known');
    try {
      if (command.kind === 'read') this.#reply(command.run(state, request, this.#context.readRun));
      else this.#reply(this.#watch(state, request));
    } catch (error) {
      if (!(error instanceof Rejection) && !isTidemarkError(error)) throw error;
      this.#refuse(errorText(error));
    }
  }

  #reply(value: ReplyValue): void {
    if (this.#isClosed) return;
    this.#outputOfTurn().append(value, this.protocol);
    this.#checkOutput();
  }

  #refuse(text: string): void {
    if (this.#isClosed) return;
    this.#outputOfTurn().appendError(text);
    this.#checkOutput();
  }

  /** Refuses behind all answers that are still to come. */
  #refuseInTurn(text: string): void {
    if (this.#enqueued === this.#answered) this.#refuse(text);
    else this.#wait({ kind: 'refused', after: this.#enqueued, text }, text.length);
  }

  /** Answers behind all answers that are still to come. */
  #replyInTurn(value: ReplyValue): void {
    if (this.#enqueued === this.#answered) this.#reply(value);
    else this.#wait({ kind: 'ready', after: this.#enqueued, value }, 0);
  }

  #outputOfTurn(): ReplyBuffer {
    if (this.#output === null) {
      this.#output = this.#context.buffers.take();
      this.#dueTurnEnd();
    }
    return this.#output;
  }

  #checkOutput(): void {
    const unsent = this.#bufferedBytes + (this.#output?.length ?? 0);
    if (unsent <= this.#context.outputBytesMax) {
      if (unsent + this.#waitingBytes - this.#accountedBytes < ACCOUNTED_BYTES_MIN || this.#account()) return;
    }
    this.#context.clientsDropped++;
    this.drop();
  }

  /** Tells the server what this client holds. False when that is too much of what all of them may. */
  #account(): boolean {
    if (this.#isClosed) return true;
    const held = this.#bufferedBytes + (this.#output?.length ?? 0) + this.#waitingBytes;
    const change = held - this.#accountedBytes;
    this.#accountedBytes = held;
    return this.#context.holdOutput(change) || change <= 0 || held <= OUTPUT_BYTES_SPARED;
  }

  #flush(): void {
    const output = this.#output;
    if (output === null) return;
    this.#output = null;
    if (this.#socket.write(output.written())) this.#context.buffers.give(output);
    else this.#bufferedBytes = this.#socket.bufferedBytes;
  }

  #dueTurnEnd(): void {
    if (this.#isTurnEndDue) return;
    this.#isTurnEndDue = true;
    this.#context.atTurnEnd(this);
  }

  #keep(chunk: Uint8Array): void {
    const allocated = this.#input.allocatedBytes;
    this.#input.append(chunk);
    if (this.#context.holdInput(this.#input.allocatedBytes - allocated)) return;
    this.#context.clientsDropped++;
    this.drop();
  }

  /** Lets go of all memory; answers that still come are discarded. */
  #release(): void {
    this.#isClosed = true;
    this.#isEnding = true;
    this.#context.holdInput(-this.#input.allocatedBytes);
    this.#input.clear();
    this.#context.holdOutput(-this.#accountedBytes);
    this.#accountedBytes = 0;
    this.#waiting.clear();
    this.#context.holdInput(-this.#transactionBytes);
    this.#transactionBytes = 0;
    this.#transaction.reset();
    this.#output = null;
  }
}

function bytesOf(waiting: Waiting): number {
  if (waiting.kind === 'ready') return 0;
  return waiting.kind === 'refused' ? waiting.text.length : waiting.frame.length;
}

/** Whether a container's subcommand is none that there is. COMMAND alone is a command. */
function isUnknownSubcommand(command: PortCommand, request: Request): boolean {
  return command.subcommands !== undefined && request.count > 1;
}
