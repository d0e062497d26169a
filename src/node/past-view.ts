/** A read-only view of the state as it was at one point, while the node goes on. What `node.at` gives. */

import { TidemarkError } from '../base/errors.ts';
import type { Index } from '../base/positions.ts';
import type { StateRoot } from '../engine/engine.ts';
import type { Call, CallableMachine } from '../engine/machine.ts';
import type { StateReader } from '../state/state.ts';
import type { PastState } from './past-state.ts';

type Named<Calls, Name extends keyof Calls> = Calls[Name] extends Call ? Calls[Name] : never;

/** The state as it was at a point, for queries. It must be closed. */
export class PastView<Queries> {
  readonly #machine: CallableMachine<unknown, Queries>;
  readonly #past: PastState;
  #closing: Promise<void> | null = null;

  /** Use `node.at`. */
  constructor(machine: CallableMachine<unknown, Queries>, past: PastState) {
    this.#machine = machine;
    this.#past = past;
  }

  /** The entry whose state it is. */
  get index(): Index {
    return this.#past.index;
  }

  /** How many commands of the entry are in it; null for all of them. */
  get commands(): number | null {
    return this.#past.commands;
  }

  /** Time of that entry, in milliseconds since 1970; 0 of the empty state. */
  get time(): number {
    return this.#past.time;
  }

  /** Index of the checkpoint that it was made from; 0 when the log had everything. */
  get checkpoint(): Index {
    return this.#past.checkpoint;
  }

  /** What was replayed behind it. */
  get entriesReplayed(): number {
    return this.#past.entriesReplayed;
  }

  get commandsReplayed(): number {
    return this.#past.commandsReplayed;
  }

  /** Checkpoints that were passed over because they are damaged. */
  get warnings(): readonly string[] {
    return this.#past.warnings;
  }

  /**
   * Answers a query from the state as it was, with the version of the machine that was active then.
   * @throws What the query throws; TIDEMARK_COMMAND_UNKNOWN, TIDEMARK_NOT_OPEN, TIDEMARK_CHECKPOINT_DAMAGED.
   */
  async query<Name extends keyof Queries & string>(
    name: Name,
    ...args: Named<Queries, Name>['arguments']
  ): Promise<Named<Queries, Name>['result']> {
    const machine = this.#versionThen();
    return this.read((state) => machine.detach(machine.query(state, name, args)) as never);
  }

  /**
   * Runs a read on the state; what it returns must hold no views of it.
   * @throws What it throws; TIDEMARK_NOT_OPEN once the view is closed, TIDEMARK_CHECKPOINT_DAMAGED when a
   *   part of the state cannot be read: then this view is of no use any more, and the node goes on.
   */
  read<Result>(run: (state: StateReader) => Result): Result {
    this.#requireUsable();
    const result = run(this.#past.engine.state);
    this.#requireUsable();
    return result;
  }

  /** The root of the state as it was. */
  async root(): Promise<StateRoot> {
    this.#requireUsable();
    const { root } = await this.#past.engine.root();
    return { index: this.index, root };
  }

  /** Gives back its memory, and the files it reads. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#past.close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #versionThen(): CallableMachine<unknown, Queries> {
    const { activeVersion } = this.#past.engine;
    let machine = this.#machine;
    while (machine.version !== activeVersion && machine.previous !== undefined) {
      machine = machine.previous as CallableMachine<unknown, Queries>;
    }
    return machine;
  }

  #requireUsable(): void {
    if (this.#closing !== null) {
      throw new TidemarkError('TIDEMARK_NOT_OPEN', 'this view of the past is closed', { remedy: 'fix-call' });
    }
    const failure = this.#past.failure();
    if (failure !== null) throw failure;
  }
}
