/** What the connections of one server share, and ask of it. */

import type { ReadRun } from '../keyvalue/command.ts';
import type { CommandTable } from '../keyvalue/command-table.ts';
import type { RequestParser } from '../keyvalue/request.ts';
import type { Ordering } from '../ordering/ordering.ts';
import type { ClientConnection } from './connection.ts';
import type { PortCommand, ServerView } from './connection-command.ts';
import type { ReplyBufferPool } from './reply.ts';

/** What the connections of one server share. */
export interface ConnectionContext extends ServerView {
  readonly ordering: Ordering;
  readonly table: CommandTable<PortCommand>;
  /** What reads know: the time, for their answers. */
  readonly readRun: ReadRun;
  /** For the input; and another one for requests that waited, since those are answered in between. */
  readonly parser: RequestParser;
  readonly waitingParser: RequestParser;
  readonly buffers: ReplyBufferPool;
  /** True from an `enqueue` that returned false until the ordering is drained. */
  readonly isBackedUp: boolean;
  /**
   * Replies that a client has not taken, above which it is dropped: requests already taken can get it here.
   */
  readonly outputBytesMax: number;
  commandsTaken: number;
  clientsDropped: number;
  monotonic(): number;
  /** The ordering wants no more for now. */
  backUp(): void;
  /** Calls `proceed` of the connection when the ordering is drained. */
  awaitRoom(connection: ClientConnection): void;
  /** Calls `turnEnded` of the connection when all input of this turn has been answered. */
  atTurnEnd(connection: ClientConnection): void;
  /** Accounts for memory of input buffers; false when all clients together hold too much. */
  holdInput(bytes: number): boolean;
  /** Accounts for replies and waiting requests; false when all clients together hold too much. */
  holdOutput(bytes: number): boolean;
  forget(connection: ClientConnection): void;
}
