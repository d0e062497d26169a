/**
 * Who decides the order of commands. The server and `submit` see only this, whichever ordering is behind it.
 *
 * Costs are per batch: a command is copied into the batch being collected, the batch into what the log
 * writes, and each command is answered through its sink. There is no promise or object per command on the
 * way; `Node.submit` makes them for its callers.
 */

import type { StateReader } from '../state/state.ts';

/** Where the outcome of one command goes. Exactly one of the two is called, exactly once. */
export interface CommandSink {
  /**
   * The command is durable and applied. Called in the order of the commands.
   * @param result As `Machine.apply` returned it: views in it are valid during the call only.
   */
  settle(result: unknown): void;

  /** The command was refused by the machine (then it is durable, and undone), or its fate is the error's. */
  fail(error: unknown): void;
}

/** A read that must see what was enqueued before it. Called once, in the order of the commands around it. */
export interface ReadSink {
  read(state: StateReader): void;
  fail(error: unknown): void;
}

/** What a client of a node sees, whoever decides the order of commands. */
export interface Ordering {
  /**
   * Takes a command for the batch of this turn of the event loop. `command` is copied before it returns.
   * @returns False when more than `pendingBytesMax` bytes now wait: the caller should stop sending until
   *   `whenDrained` resolves. The command was taken all the same.
   * @throws TidemarkError TIDEMARK_NOT_OPEN, TIDEMARK_COMMAND_TOO_LARGE, TIDEMARK_BUSY (when the caller went
   *   on sending to twice the bound), TIDEMARK_DISK_FULL or TIDEMARK_RESOURCES (the log has no reserve),
   *   TIDEMARK_LOG_POISONED. Then the sink is never called.
   */
  enqueue(command: Uint8Array, sink: CommandSink): boolean;

  /**
   * Runs a read behind everything enqueued so far; at once when nothing waits. Costs no log entry.
   * @throws TidemarkError TIDEMARK_NOT_OPEN, TIDEMARK_LOG_POISONED. Then the sink is never called.
   */
  enqueueRead(sink: ReadSink): void;

  /** Whether fewer than `pendingBytesMax` bytes wait. */
  readonly isDrained: boolean;

  /** Resolves when fewer than half of `pendingBytesMax` bytes wait; rejects when the node stops. */
  whenDrained(): Promise<void>;
}
