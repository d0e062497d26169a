/**
 * The Redis port: RESP2 and RESP3 over a listener, in front of an ordering.
 *
 * Writes are ordered and logged, reads see every write that was answered before they were sent, and each
 * client gets its answers in the order of its requests. Back-pressure goes all the way: when the ordering has
 * enough, no client is read any more until it is drained.
 */

import { sha256 } from '../base/digest.ts';
import { requireInteger, requireKnownOptions } from '../base/options.ts';
import { type Clock, systemClock } from '../base/time.ts';
import type { ReadRun } from '../keyvalue/command.ts';
import { CommandTable } from '../keyvalue/command-table.ts';
import { KEY_VALUE_COMMANDS } from '../keyvalue/commands.ts';
import { BULK_BYTES_MAX, type Request, RequestParser } from '../keyvalue/request.ts';
import type { Connection, ConnectionHandler, Listen, Listener } from '../network/connection.ts';
import { listenTcp } from '../network/tcp.ts';
import type { Ordering } from '../ordering/ordering.ts';
import { ServerConfig } from './config.ts';
import { ClientConnection, OUTPUT_BYTES_PAUSE } from './connection.ts';
import type { PortCommand, ServedCheckpoints, ServedHistory, ServedLog } from './connection-command.ts';
import { CONNECTION_COMMANDS, REDIS_VERSION } from './connection-commands.ts';
import type { ConnectionContext } from './connection-context.ts';
import { HeldStates, type ServedState } from './held-states.ts';
import { type InfoSections, mergeInfo } from './info.ts';
import {
  CONNECTIONS_MAX_DEFAULT,
  INPUT_BYTES_MAX_DEFAULT,
  OUTPUT_BYTES_MAX_DEFAULT,
  OUTPUT_TOTAL_BYTES_MAX_DEFAULT,
} from './redis-limits.ts';
import { ReplyBufferPool } from './reply.ts';

/** What a Redis port serves, and where it listens. */
export interface RedisServerOptions {
  readonly ordering: Ordering;
  /** @default '127.0.0.1' */
  readonly host?: string;
  /** 0 lets the operating system choose. */
  readonly port: number;
  /** More clients than this are turned away. @default 10000 */
  readonly connectionsMax?: number;
  /**
   * Replies that a client has not taken, in bytes, above which it is dropped: 2 MiB to 4 GiB. It is not read
   * any more above 1 MiB, so only requests already taken get it here. @default 268435456
   */
  readonly outputBytesMax?: number;
  /**
   * Replies that were not taken, and requests that wait for earlier ones, of all clients together, in bytes:
   * 1 MiB to 64 GiB. Above it a client that gets more is dropped, unless it has less than 64 KiB of them.
   * @default 1073741824
   */
  readonly outputTotalBytesMax?: number;
  /**
   * Unfinished requests of all clients together, in bytes, above which the client that sends more is dropped:
   * 1 MiB to 64 GiB. @default 1073741824
   */
  readonly inputBytesMax?: number;
  /** What a client must say by AUTH first; without it clients need none. @default null */
  readonly password?: string | null;
  /** What SAVE, BGSAVE and LASTSAVE act on; without it they are refused. @default null */
  readonly checkpoints?: ServedCheckpoints | null;
  /** What TIDEMARK SYNC acts on; a node will do. Without it that is refused. @default null */
  readonly log?: ServedLog | null;
  /** What TIDEMARK AT and TIDEMARK REWIND ask. @default null */
  readonly history?: ServedHistory | null;
  /** What TIDEMARK HOLD holds; without it that is refused. @default null */
  readonly hold?: (() => Promise<ServedState>) | null;
  /** What INFO says besides the server's own numbers: section to lines. Its lines have the last word. */
  readonly info?: () => InfoSections;
  readonly clock?: Clock;
  readonly listen?: Listen;
}

/** How long `close` waits for clients to take their last replies. */
export const CLOSE_WAIT_MS = 5_000;

const TOO_MANY_CLIENTS = Buffer.from('-ERR max number of clients reached\r\n');

/** Listens, and resolves when clients can connect. See {@link RedisServerOptions}. */
export async function startRedisServer(options: RedisServerOptions): Promise<RedisServer> {
  const resolved = resolveOptions(options);
  const server = new RedisServer(resolved);
  const listener = await resolved.listen({
    host: resolved.host,
    port: resolved.port,
    onConnection: (connection) => server.accept(connection),
    onAcceptFailed: () => server.acceptFailed(),
  });
  server.listening(listener);
  return server;
}

const OPTION_DEFAULTS = {
  host: '127.0.0.1',
  connectionsMax: CONNECTIONS_MAX_DEFAULT,
  outputBytesMax: OUTPUT_BYTES_MAX_DEFAULT,
  outputTotalBytesMax: OUTPUT_TOTAL_BYTES_MAX_DEFAULT,
  inputBytesMax: INPUT_BYTES_MAX_DEFAULT,
  password: null,
  checkpoints: null,
  log: null,
  history: null,
  hold: null,
  info: () => ({}),
  clock: systemClock,
  listen: listenTcp,
};

function resolveOptions(options: RedisServerOptions): Required<RedisServerOptions> {
  requireKnownOptions('startRedisServer', options, { ordering: 0, port: 0, ...OPTION_DEFAULTS });
  const resolved = { ...OPTION_DEFAULTS, ...options };
  requireInteger('port', resolved.port, 0, 65_535);
  requireInteger('connectionsMax', resolved.connectionsMax, 1, 1_000_000);
  requireInteger('outputBytesMax', resolved.outputBytesMax, 2 * OUTPUT_BYTES_PAUSE, 4 * 1024 ** 3);
  requireInteger('outputTotalBytesMax', resolved.outputTotalBytesMax, 1024 ** 2, 64 * 1024 ** 3);
  requireInteger('inputBytesMax', resolved.inputBytesMax, 1024 ** 2, 64 * 1024 ** 3);
  return Object.freeze(resolved);
}

/** Counts since the start, or since CONFIG RESETSTAT; connections and bytes are those of now. */
export interface ClientFigures {
  readonly connected: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly dropped: number;
  readonly requests: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
}

/** A Redis port that listens; made by {@link startRedisServer}. */
export class RedisServer implements ConnectionContext {
  readonly ordering: Ordering;
  readonly table = new CommandTable<PortCommand>([...KEY_VALUE_COMMANDS, ...CONNECTION_COMMANDS]);
  readonly parser = new RequestParser();
  readonly waitingParser = new RequestParser();
  readonly buffers = new ReplyBufferPool();
  readonly config: ServerConfig;
  readonly isPassword: ((word: Uint8Array) => boolean) | null;
  readonly readRun: ReadRun;
  readonly states: HeldStates | null;
  commandsTaken = 0;
  clientsDropped = 0;

  readonly #options: Required<RedisServerOptions>;
  readonly #connections = new Set<ClientConnection>();
  #listener: Listener | null = null;
  #isBackedUp = false;
  /** Clients with requests at hand that wait until the ordering is drained. */
  #stalled = new Set<ClientConnection>();
  #turn: ClientConnection[] = [];
  #inputBytes = 0;
  #outputBytes = 0;
  #connectionsAccepted = 0;
  #connectionsRejected = 0;
  #closing: Promise<void> | null = null;

  constructor(options: Required<RedisServerOptions>) {
    this.#options = options;
    this.ordering = options.ordering;
    this.config = new ServerConfig({
      appendfsync: options.log?.durability === 'buffered' ? 'everysec' : 'always',
      appendonly: 'yes',
      databases: '1',
      maxclients: String(options.connectionsMax),
      maxmemory: '0',
      'maxmemory-policy': 'noeviction',
      'notify-keyspace-events': '',
      'proto-max-bulk-len': String(BULK_BYTES_MAX),
      save: '',
      timeout: '0',
    });
    this.states = options.hold === null ? null : new HeldStates(options.hold, options.clock);
    this.isPassword = options.password === null ? null : passwordCheck(options.password);
    this.readRun = {
      get time() {
        return options.clock.now();
      },
    };
  }

  get host(): string {
    return this.#listener?.host ?? '';
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  get commands(): readonly PortCommand[] {
    return this.table.entries;
  }

  get sessions(): Iterable<ClientConnection> {
    return this.#connections;
  }

  find(request: Request): PortCommand | null {
    return this.table.find(request);
  }

  now(): number {
    return this.#options.clock.now();
  }

  resetCounts(): void {
    this.commandsTaken = 0;
    this.clientsDropped = 0;
    this.#connectionsAccepted = this.#connections.size;
    this.#connectionsRejected = 0;
  }

  get checkpoints(): ServedCheckpoints | null {
    return this.#options.checkpoints;
  }

  get log(): ServedLog | null {
    return this.#options.log;
  }

  get history(): ServedHistory | null {
    return this.#options.history;
  }

  get isBackedUp(): boolean {
    return this.#isBackedUp;
  }

  get outputBytesMax(): number {
    return this.#options.outputBytesMax;
  }

  get clients(): ClientFigures {
    return {
      connected: this.#connections.size,
      accepted: this.#connectionsAccepted,
      rejected: this.#connectionsRejected,
      dropped: this.clientsDropped,
      requests: this.commandsTaken,
      inputBytes: this.#inputBytes,
      outputBytes: this.#outputBytes,
    };
  }

  info(): InfoSections {
    const { clients } = this;
    const own: InfoSections = {
      server: { redis_version: REDIS_VERSION, redis_mode: 'standalone', tcp_port: this.port },
      clients: { connected_clients: clients.connected, maxclients: this.#options.connectionsMax },
      memory: {},
      persistence: { loading: 0 },
      stats: {
        total_connections_received: clients.accepted,
        total_commands_processed: clients.requests,
        rejected_connections: clients.rejected,
        clients_dropped: clients.dropped,
        client_input_bytes: clients.inputBytes,
        client_output_bytes: clients.outputBytes,
      },
      replication: { role: 'master', connected_slaves: 0 },
    };
    return mergeInfo(own, this.#options.info());
  }

  /**
   * Takes no more connections and no more requests, answers what was taken, and closes. Clients that do not
   * take their replies within CLOSE_WAIT_MS are dropped. Idempotent: every call waits for the end.
   */
  close(): Promise<void> {
    const listener = this.#listener;
    if (listener === null) return Promise.resolve();
    this.#closing ??= this.#close(listener);
    return this.#closing;
  }

  async #close(listener: Listener): Promise<void> {
    const closed = listener.close();
    this.states?.close();
    for (const connection of this.#connections) connection.quit();
    const deadline = this.#options.clock.after(CLOSE_WAIT_MS, () => {
      for (const connection of this.#connections) connection.drop();
    });
    await closed;
    deadline.cancel();
  }

  listening(listener: Listener): void {
    this.#listener = listener;
  }

  accept(socket: Connection): ConnectionHandler {
    this.#connectionsAccepted++;
    const connection = new ClientConnection(this.#connectionsAccepted, socket, this);
    if (this.#connections.size >= this.#options.connectionsMax || this.#closing !== null) {
      this.#connectionsRejected++;
      socket.write(TOO_MANY_CLIENTS);
      connection.quit();
      return connection;
    }
    this.#connections.add(connection);
    return connection;
  }

  acceptFailed(): void {
    this.#connectionsRejected++;
  }

  monotonic(): number {
    return this.#options.clock.monotonic();
  }

  backUp(): void {
    if (this.#isBackedUp) return;
    this.#isBackedUp = true;
    const goOn = () => this.#drained();
    // It rejects when the node stops. Clients then learn the reason from the next `enqueue`.
    this.ordering.whenDrained().then(goOn, goOn);
  }

  awaitRoom(connection: ClientConnection): void {
    this.#stalled.add(connection);
  }

  atTurnEnd(connection: ClientConnection): void {
    if (this.#turn.length === 0) queueMicrotask(this.#endTurn);
    this.#turn.push(connection);
  }

  holdInput(bytes: number): boolean {
    this.#inputBytes += bytes;
    return this.#inputBytes <= this.#options.inputBytesMax;
  }

  holdOutput(bytes: number): boolean {
    this.#outputBytes += bytes;
    return this.#outputBytes <= this.#options.outputTotalBytesMax;
  }

  forget(connection: ClientConnection): void {
    this.#connections.delete(connection);
    this.#stalled.delete(connection);
  }

  #drained(): void {
    this.#isBackedUp = false;
    const stalled = this.#stalled;
    this.#stalled = new Set();
    // Should the ordering fill up again on the way, the others register anew.
    for (const connection of stalled) connection.proceed();
  }

  /** The list may grow on the way: a reply that has left can make room for the next request. */
  readonly #endTurn = (): void => {
    for (let at = 0; at < this.#turn.length; at++) this.#turn[at]!.turnEnded();
    this.#turn = [];
  };
}

/** Compares digests, so that the time of a comparison tells nothing of the password. */
function passwordCheck(password: string): (word: Uint8Array) => boolean {
  const digest = sha256(Buffer.from(password));
  return (word) => Buffer.from(sha256(word)).equals(digest);
}
