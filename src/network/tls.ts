/**
 * Door 2 over TLS 1.3, where both sides show a certificate of an authority that the other one trusts. Who a
 * certificate names is for the caller to hold against who speaks: see `Connection.certificateNames`.
 *
 * Bounds, because anybody who reaches the port may begin a handshake: HANDSHAKES_MAX at a time, the oldest is
 * given up for one more; and `handshakeMsMax` each.
 */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect, createSecureContext, createServer, type PeerCertificate, type TLSSocket } from 'node:tls';
import { TidemarkError } from '../base/errors.ts';
import type { Dial, Listener, ListenOptions } from './connection.ts';
import { startListening } from './listening.ts';
import { attachSocket } from './socket-connection.ts';

const HANDSHAKES_MAX = 256;

const KEEP_ALIVE_MS = 60_000;

/** What one side shows, and whom it trusts. PEM. */
export interface TlsCredentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Where to listen, and who is told of handshakes that come to nothing. */
export interface TlsListenOptions extends ListenOptions {
  readonly credentials: TlsCredentials;
  readonly handshakeMsMax: number;
  onHandshakeFailed(remoteAddress: string): void;
}

/** Throws TIDEMARK_OPTION_INVALID when these are no certificates, or no pair. */
export function requireCredentials({ ca, cert, key }: TlsCredentials): void {
  try {
    createSecureContext({ ca, cert, key, minVersion: 'TLSv1.3' });
    // The context takes anything for an authority, and nothing for a key.
    new X509Certificate(ca);
    createPrivateKey(key);
  } catch (error) {
    throw new TidemarkError(
      'TIDEMARK_OPTION_INVALID',
      `tls needs ca, cert and key in PEM, and the key must be that of the certificate: ${messageOf(error)}`,
      { remedy: 'fix-call', facts: { option: 'tls' }, cause: error },
    );
  }
}

/** The names in a certificate, as `DNS:…` and `URI:…`. */
export function namesInCertificate(pem: string): readonly string[] {
  return namesIn(new X509Certificate(pem).subjectAltName);
}

/** As `listenTcp`; a connection is handed over once both certificates hold. */
export async function listenTls(options: TlsListenOptions): Promise<Listener> {
  const server = createServer({
    ...options.credentials,
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: true,
    handshakeTimeout: options.handshakeMsMax,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  });
  const handshakes = new Map<string, Socket>();
  server.on('connection', (socket: Socket) => {
    const address = addressOf(socket);
    handshakes.set(address, socket);
    socket.once('close', () => handshakes.delete(address));
    if (handshakes.size <= HANDSHAKES_MAX) return;
    const [oldest] = handshakes;
    handshakes.delete(oldest![0]);
    oldest![1].destroy();
  });
  server.on('tlsClientError', (_error, socket) => options.onHandshakeFailed(addressOf(socket)));
  server.on('secureConnection', (socket) => {
    handshakes.delete(addressOf(socket));
    attachSocket(socket, namesOf(socket), (connection) => options.onConnection(connection));
  });
  const listener = await startListening(server, options);
  return {
    ...listener,
    close() {
      const closed = listener.close();
      for (const socket of handshakes.values()) socket.destroy();
      return closed;
    },
  };
}

/** As `dialTcp`; it stands once both certificates hold. */
export function dialTls(credentials: TlsCredentials): Dial {
  return (options) => {
    const socket = connect({
      ...credentials,
      host: options.host,
      port: options.port,
      minVersion: 'TLSv1.3',
      // The address means nothing here: whose certificate it is, is in the name of the replica.
      checkServerIdentity: () => undefined,
    });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    let isSettled = false;
    const fail = (error: Error): void => {
      if (isSettled) return;
      isSettled = true;
      // Set when the certificate of the other side was looked at and did not hold.
      const isUntrusted = (socket.authorizationError as unknown) != null;
      options.onFailed(error, isUntrusted ? 'certificate' : 'unreachable');
    };
    socket.on('error', fail);
    // A server may close within the handshake and say nothing.
    socket.once('close', () => fail(new Error('the connection was closed in the TLS handshake')));
    socket.once('secureConnect', () => {
      isSettled = true;
      attachSocket(socket, namesOf(socket), (connection) => options.onConnected(connection));
    });
    return {
      cancel() {
        if (isSettled) return;
        isSettled = true;
        socket.destroy();
      },
    };
  };
}

function addressOf(socket: Socket): string {
  return `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
}

function namesOf(socket: TLSSocket): readonly string[] {
  const certificate: Partial<PeerCertificate> = socket.getPeerCertificate();
  return namesIn(certificate.subjectaltname);
}

/**
 * The entries of a list such as `DNS:a, URI:b`. Node writes an entry that holds a comma or a quote as a JSON
 * string: it is taken whole, so that nothing in it passes for an entry, and left out.
 */
function namesIn(list: string | undefined): readonly string[] {
  const entries = (list ?? '').match(/[^,"]*"(?:[^"\\]|\\.)*"|[^,]+/g) ?? [];
  return entries.map((entry) => entry.trim()).filter((entry) => !entry.includes('"'));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
