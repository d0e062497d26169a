/** A server of Node's, TCP or HTTP, brought to its address. */

import type { Server } from 'node:net';
import { TidemarkError } from '../base/errors.ts';
import type { Listener } from './connection.ts';

/** Connections that the kernel completes before we accept them. As Redis's tcp-backlog. */
const BACKLOG = 511;

export interface ListenAddress {
  readonly host: string;
  /** 0 lets the operating system choose. */
  readonly port: number;
  /** A connection could not be accepted: out of file descriptors, mostly. The server goes on. */
  onAcceptFailed?(error: Error): void;
}

/** Rejects with TidemarkError TIDEMARK_ADDRESS_UNAVAILABLE when the address cannot be listened on. */
export function startListening(server: Server, address: ListenAddress): Promise<Listener> {
  const { host, port } = address;
  return new Promise((resolve, reject) => {
    const onListenFailed = (error: NodeJS.ErrnoException) => reject(addressUnavailable(error, address));
    server.once('error', onListenFailed);
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off('error', onListenFailed);
      server.on('error', (error) => address.onAcceptFailed?.(error));
      resolve(listenerOf(server, host));
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

function addressUnavailable(error: NodeJS.ErrnoException, { host, port }: ListenAddress): TidemarkError {
  const address = `${host}:${port}`;
  return new TidemarkError('TIDEMARK_ADDRESS_UNAVAILABLE', `cannot listen on ${address}: ${explain(error)}`, {
    remedy: 'fix-call',
    facts: { host, port, system: error.code ?? 'unknown' },
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
