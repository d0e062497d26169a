/** A socket of Node's, plain or under TLS, as a connection. */

import type { Socket } from 'node:net';
import type { Connection, ConnectionHandler } from './connection.ts';

/** Hands the events of `socket` to who `takeUp` says; from the turn on in which it was connected. */
export function attachSocket(
  socket: Socket,
  certificateNames: readonly string[] | null,
  takeUp: (connection: Connection) => ConnectionHandler,
): void {
  const connection = new SocketConnection(socket, certificateNames);
  const handler = takeUp(connection);
  connection.onFlushed = () => handler.flushed();
  socket.on('data', (chunk: Buffer) => handler.data(chunk));
  socket.on('end', () => handler.ended());
  socket.on('close', () => handler.closed());
  // `close` follows every error, and a reset says no more than that the other side is gone.
  socket.on('error', () => {});
}

class SocketConnection implements Connection {
  onFlushed: () => void = () => {};
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly certificateNames: readonly string[] | null;
  readonly #socket: Socket;
  #isBuffering = false;
  /** Written after the other side was gone. */
  #lostBytes = 0;

  constructor(socket: Socket, certificateNames: readonly string[] | null) {
    this.#socket = socket;
    this.certificateNames = certificateNames;
    this.remoteAddress = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
    this.localAddress = `${socket.localAddress ?? '?'}:${socket.localPort ?? 0}`;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength + this.#lostBytes;
  }

  write(bytes: Uint8Array): boolean {
    if (!this.#socket.destroyed) this.#socket.write(bytes, this.#onWritten);
    return this.#hasLeft(bytes.length);
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    const last = pieces.length - 1;
    this.#socket.cork();
    let byteCount = 0;
    for (const [at, piece] of pieces.entries()) {
      byteCount += piece.length;
      if (this.#socket.destroyed) continue;
      if (at < last) this.#socket.write(piece);
      else this.#socket.write(piece, this.#onWritten);
    }
    this.#socket.uncork();
    return this.#hasLeft(byteCount);
  }

  #hasLeft(byteCount: number): boolean {
    // `close` comes only when the event loop turns. A client that vanished with a pipeline behind it would
    // take everything at once, and all of it would be answered before that: for nobody, and nobody else.
    if (this.#socket.destroyed) {
      this.#lostBytes += byteCount;
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
