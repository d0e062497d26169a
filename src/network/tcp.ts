/** Door 2 over TCP. The only file that touches raw sockets. */

import { createServer, type Socket } from 'node:net';
import type { Connection, Listener, ListenOptions } from './connection.ts';
import { startListening } from './listening.ts';

/** Silence after which the kernel asks whether the other side still lives. As Redis's tcp-keepalive. */
const KEEP_ALIVE_MS = 300_000;

/** Listens on `host`:`port`. See {@link Listen}. */
export function listenTcp(options: ListenOptions): Promise<Listener> {
  // Half-open, because a client may send its last requests and shut its side before it reads the replies.
  const server = createServer({
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  });
  server.on('connection', (socket) => accept(socket, options));
  return startListening(server, options);
}

function accept(socket: Socket, options: ListenOptions): void {
  const connection = new TcpConnection(socket);
  const handler = options.onConnection(connection);
  connection.onFlushed = () => handler.flushed();
  socket.on('data', (chunk: Buffer) => handler.data(chunk));
  socket.on('end', () => handler.ended());
  socket.on('close', () => handler.closed());
  // `close` follows every error, and a reset says no more than that the other side is gone.
  socket.on('error', () => {});
}

class TcpConnection implements Connection {
  onFlushed: () => void = () => {};
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly #socket: Socket;
  #isBuffering = false;
  /** Written after the other side was gone. */
  #lostBytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remoteAddress = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
    this.localAddress = `${socket.localAddress ?? '?'}:${socket.localPort ?? 0}`;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength + this.#lostBytes;
  }

  write(bytes: Uint8Array): boolean {
    if (!this.#socket.destroyed) this.#socket.write(bytes, this.#onWritten);
    // `close` comes only when the event loop turns. A client that vanished with a pipeline behind it would
    // take everything at once, and all of it would be answered before that: for nobody, and nobody else.
    if (this.#socket.destroyed) {
      this.#lostBytes += bytes.length;
      return false;
    }
    // Node tries to write at once: with nothing left to write, nobody holds on to the memory.
    if (this.#socket.writableLength === 0) return true;
    this.#isBuffering = true;
    return false;
  }

  readonly #onWritten = (error?: Error | null): void => {
    if (!this.#isBuffering || this.#socket.writableLength > 0) return;
    this.#isBuffering = false;
    if (error === undefined || error === null) this.onFlushed();
  };

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.destroySoon();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
