/**
 * Door 2 without sockets: both ends in one process, for tests that decide how bytes are cut and when they
 * move.
 *
 * The accepting side is a `Connection`; a test holds the other end as a {@link MemoryPeer}. Nothing
 * moves by itself: the peer's `send` calls the handler at once, and what was written waits in the peer until
 * it is read.
 */

import { assert } from '../base/assert.ts';
import type { Connection, ConnectionHandler, Listener, ListenOptions } from '../network/connection.ts';

/** Door 2 for tests: connections within the process. */
export class MemoryNetwork {
  #options: ListenOptions | null = null;
  readonly #open = new Set<MemoryPeer>();
  #onLastClosed: (() => void) | null = null;

  /** A `Listen`. One listener at a time. */
  readonly listen = (options: ListenOptions): Promise<Listener> => {
    assert(this.#options === null, 'a memory network has one listener');
    this.#options = options;
    return Promise.resolve({ host: options.host, port: options.port, close: () => this.#close() });
  };

  connect(): MemoryPeer {
    const options = this.#options;
    assert(options !== null, 'something listens');
    const peer = new MemoryPeer(options, () => this.#forget(peer));
    this.#open.add(peer);
    peer.accept();
    return peer;
  }

  #close(): Promise<void> {
    this.#options = null;
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onLastClosed = resolve;
    });
  }

  #forget(peer: MemoryPeer): void {
    this.#open.delete(peer);
    if (this.#open.size === 0) this.#onLastClosed?.();
  }
}

/** The client's end, and the `Connection` that the server sees. */
export class MemoryPeer {
  /** While false, what the server writes stays buffered on its side, as with a client that does not read. */
  isReading = true;
  isClosed = false;
  /** Whether the server has asked for no more data. */
  isPaused = false;
  /** Writes of the server so far. */
  writes = 0;

  readonly #options: ListenOptions;
  readonly #onClosed: () => void;
  #handler: ConnectionHandler | null = null;
  #received: Buffer[] = [];
  #buffered: Buffer[] = [];
  #unsent: Uint8Array[] = [];
  #isEnding = false;

  constructor(options: ListenOptions, onClosed: () => void) {
    this.#options = options;
    this.#onClosed = onClosed;
  }

  accept(): void {
    const bufferedBytes = () => this.bufferedBytes;
    const server: Connection = {
      remoteAddress: 'memory:0',
      localAddress: 'memory:1',
      certificateNames: null,
      get bufferedBytes() {
        return bufferedBytes();
      },
      write: (bytes) => this.#write(bytes),
      writeAll: (pieces) => this.#write(Buffer.concat(pieces)),
      pause: () => {
        this.isPaused = true;
      },
      resume: () => this.#resume(),
      end: () => this.#end(),
      destroy: () => this.close(),
    };
    this.#handler = this.#options.onConnection(server);
  }

  /** Hands bytes to the server; keeps them while the server pauses. */
  send(bytes: Uint8Array | string): void {
    if (this.isClosed) return;
    const chunk = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    if (this.isPaused) this.#unsent.push(chunk);
    else this.#handler?.data(chunk);
  }

  /** Says that nothing more will be sent. */
  shut(): void {
    if (!this.isClosed) this.#handler?.ended();
  }

  /** Takes what the server sent so far. */
  receive(): Buffer {
    const received = Buffer.concat(this.#received);
    this.#received = [];
    return received;
  }

  /** Reads on after `isReading` was false. */
  read(): void {
    this.isReading = true;
    this.#received.push(...this.#buffered);
    this.#buffered = [];
    if (this.#isEnding) this.close();
    else if (!this.isClosed) this.#handler?.flushed();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#handler?.closed();
    this.#onClosed();
  }

  #write(bytes: Uint8Array): boolean {
    assert(!this.#isEnding, 'nothing is written after the end');
    if (this.isClosed) return true;
    this.writes++;
    (this.isReading ? this.#received : this.#buffered).push(Buffer.from(bytes));
    return this.isReading;
  }

  /** What the server has written and this end does not read. */
  get bufferedBytes(): number {
    return this.#buffered.reduce((sum, { length }) => sum + length, 0);
  }

  #resume(): void {
    this.isPaused = false;
    while (!this.isPaused && !this.isClosed) {
      const chunk = this.#unsent.shift();
      if (chunk === undefined) return;
      this.#handler?.data(chunk);
    }
  }

  #end(): void {
    this.#isEnding = true;
    if (this.#buffered.length === 0) this.close();
  }
}
