/** Door 2 over TCP. */

import { connect, createServer } from 'node:net';
import type { Dialing, DialOptions, Listener, ListenOptions } from './connection.ts';
import { startListening } from './listening.ts';
import { attachSocket } from './socket-connection.ts';

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
  server.on('connection', (socket) => {
    attachSocket(socket, null, (connection) => options.onConnection(connection));
  });
  return startListening(server, options);
}

/** Connects to `host`:`port`. See {@link Dial}. */
export function dialTcp(options: DialOptions): Dialing {
  const socket = connect({
    host: options.host,
    port: options.port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  });
  const onFailed = (error: Error): void => options.onFailed(error, 'unreachable');
  socket.once('error', onFailed);
  socket.once('connect', () => {
    socket.off('error', onFailed);
    attachSocket(socket, null, (connection) => options.onConnected(connection));
  });
  return {
    cancel() {
      if (!socket.connecting) return;
      socket.off('error', onFailed);
      socket.on('error', () => {});
      socket.destroy();
    },
  };
}
