/**
 * Door 2: the network, as the layers above see it. `tcp.ts` is the real one; `testing/memory-network.ts`
 * connects two ends within a process.
 *
 * Bytes arrive and leave in order, or the connection closes. How they are cut into chunks means nothing.
 */

/** One connection, from either side. */
export interface Connection {
  /** Address and port of the other side, for people. */
  readonly remoteAddress: string;

  /** Address and port of this side, for people. */
  readonly localAddress: string;

  /**
   * What the certificate of the other side names it, as `DNS:…` and `URI:…`; null without TLS. Only a
   * certificate that holds against the authority is ever seen here.
   */
  readonly certificateNames: readonly string[] | null;

  /** Bytes written and not yet taken by the operating system. */
  readonly bufferedBytes: number;

  /**
   * Sends `bytes`.
   * @returns True when all of them have left, so that the caller may use their memory again; false when the
   *   connection keeps the memory. Then `handler.flushed` follows, once nothing is buffered any more; or
   *   `handler.closed`, when the other side is gone: what is written until then stays buffered.
   */
  write(bytes: Uint8Array): boolean;

  /** The same for several pieces, at least one, which leave together: one call to the operating system. */
  writeAll(pieces: readonly Uint8Array[]): boolean;

  /** Stops taking bytes from the other side, whose sends then wait. At most one more chunk is handed over. */
  pause(): void;
  resume(): void;

  /** Sends what is buffered, then closes. */
  end(): void;

  /** Closes at once; what is buffered is lost. */
  destroy(): void;
}

/** What the owner of a connection is told. Nothing is called after `closed`. */
export interface ConnectionHandler {
  /** Bytes arrived. The memory is the handler's to keep, and not to write to. */
  data(chunk: Uint8Array): void;

  /** Nothing is buffered any more, after a `write` that returned false. */
  flushed(): void;

  /** The other side will send no more; it may still be reading. */
  ended(): void;

  /** The connection is gone, whoever closed it. Called exactly once. */
  closed(): void;
}

export interface ListenOptions {
  readonly host: string;
  /** 0 lets the operating system choose. */
  readonly port: number;
  /** Called for each new connection, before any of its bytes are read. */
  onConnection(connection: Connection): ConnectionHandler;
  /** A connection could not be accepted: out of file descriptors, mostly. The listener goes on. */
  onAcceptFailed?(error: Error): void;
}

/** A port that is listened on. */
export interface Listener {
  readonly host: string;
  /** The port in fact, when 0 was asked for. */
  readonly port: number;
  /** Stops accepting, at once. Open connections stay; resolves when the last of them is closed. */
  close(): Promise<void>;
}

/** Rejects with TidemarkError TIDEMARK_ADDRESS_UNAVAILABLE when the address cannot be listened on. */
export type Listen = (options: ListenOptions) => Promise<Listener>;

export interface DialOptions {
  readonly host: string;
  readonly port: number;
  /** It stands. Called at most once, and then `onFailed` is not. */
  onConnected(connection: Connection): ConnectionHandler;
  /** It came to nothing: nobody is there, or a certificate does not hold. Not called after `cancel`. */
  onFailed(error: Error, why: 'unreachable' | 'certificate'): void;
}

/** A connection that is being made. */
export interface Dialing {
  /** Gives it up. Without effect once it stands or has failed. */
  cancel(): void;
}

/** Connects to an address. Has no deadline of its own but that of the operating system. */
export type Dial = (options: DialOptions) => Dialing;
