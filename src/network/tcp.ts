/** Door 2 over TCP. The only file that touches sockets. */

import { createServer, type Server, type Socket } from 'node:net';
import { TidemarkError } from '../base/errors.ts';
import type { Connection, Listener, ListenOptions } from './connection.ts';

/** Connections that the kernel completes before we accept them. As Redis's tcp-backlog. */
const BACKLOG = 511;

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
  return new Promise((resolve, reject) => {
    const onListenFailed = (error: NodeJS.ErrnoException) => reject(addressUnavailable(error, options));
    server.once('error', onListenFailed);
    server.listen({ host: options.host, port: options.port, backlog: BACKLOG }, () => {
      server.off('error', onListenFailed);
      server.on('error', (error) => options.onAcceptFailed?.(error));
      resolve(listenerOf(server, options.host));
    });
  });
}

function listenerOf(server: Server, host: string): Listener {
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  return {
    host,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
      }),
  };
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

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remoteAddress = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
    this.localAddress = `${socket.localAddress ?? '?'}:${socket.localPort ?? 0}`;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Uint8Array): boolean {
    this.#socket.write(bytes, this.#onWritten);
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

function addressUnavailable(error: NodeJS.ErrnoException, options: ListenOptions): TidemarkError {
  const address = `${options.host}:${options.port}`;
  return new TidemarkError('TIDEMARK_ADDRESS_UNAVAILABLE', `cannot listen on ${address}: ${explain(error)}`, {
    remedy: 'fix-call',
    facts: { host: options.host, port: options.port, system: error.code ?? 'unknown' },
    cause: error,
  });
}

function explain(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return 'another program uses this port; stop it, or choose another port';
    case 'EADDRNOTAVAIL':
      return 'this machine does not have that address; choose one of its own, or 127.0.0.1';
    case 'EACCES':
      return 'the system does not allow this program that port; choose one above 1023';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name has no address; give an address, or mend the name';
    default:
      return error.message;
  }
}
