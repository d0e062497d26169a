/**
 * Door 2 over HTTP, for answers that are at hand: requests without a body, replies from memory.
 *
 * Bounds, because anybody who reaches the port may send anything:
 *  - HEADER_BYTES_MAX, and HEADERS_MS to send them: then 431, or 408.
 *  - CONNECTIONS_MAX at a time; more are closed at once.
 *  - A body is never read: who sends one gets the answer, and the connection closes.
 *  - IDLE_MS without a byte in either direction: the connection closes, also under a reply nobody takes.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Listener } from './connection.ts';
import { startListening } from './listening.ts';

const HEADER_BYTES_MAX = 8 * 1024;

/** A scraper and a few probes need less than ten. */
const CONNECTIONS_MAX = 64;

/** Requests answered on one connection, which then closes: nobody keeps one of the few for ever. */
const REQUESTS_MAX = 1000;

const HEADERS_MS = 5_000;
const IDLE_MS = 30_000;

/** How often connections are held against HEADERS_MS. */
const LOOK_MS = 1_000;

/** What somebody asks. */
export interface HttpRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
}

/** What is answered. */
export interface HttpReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Where to listen for HTTP, and who answers. */
export interface HttpListenOptions {
  readonly host: string;
  /** 0 lets the operating system choose. */
  readonly port: number;
  /** Must not reject. The body of a reply to HEAD is not sent, and its length is. */
  readonly answer: (request: HttpRequest) => Promise<HttpReply>;
  /** Time to send all headers, in milliseconds. @default 5000 */
  readonly headersMs?: number;
}

/** Closing it cuts the connections that are open. */
export type ListenHttp = (options: HttpListenOptions) => Promise<Listener>;

/** See {@link ListenHttp}. Rejects with TidemarkError TIDEMARK_ADDRESS_UNAVAILABLE. */
export async function listenHttp(options: HttpListenOptions): Promise<Listener> {
  const headersTimeout = options.headersMs ?? HEADERS_MS;
  const server = createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout,
    requestTimeout: headersTimeout,
    keepAliveTimeout: IDLE_MS,
    connectionsCheckingInterval: Math.min(LOOK_MS, headersTimeout),
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.maxRequestsPerSocket = REQUESTS_MAX;
  server.setTimeout(IDLE_MS);
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    void reply(options, request, response);
  };
  server.on('request', onRequest);
  // Who asks whether to send a body is answered without it.
  server.on('checkContinue', onRequest);
  const listener = await startListening(server, options);
  return {
    ...listener,
    close() {
      const closed = listener.close();
      server.closeAllConnections();
      return closed;
    },
  };
}

async function reply(
  { answer }: HttpListenOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [path = ''] = (request.url ?? '').split('?', 1);
  const { status, headers, body } = await answer({ method: request.method ?? '', path });
  response.writeHead(status, {
    ...headers,
    'content-length': Buffer.byteLength(body),
    ...(hasBody(request) ? { connection: 'close' } : {}),
  });
  response.end(body);
}

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}
