/** A node for calls that an AbortSignal may end: see `Node.with`. */

import { untilAborted } from '../base/abort.ts';
import { TidemarkError } from '../base/errors.ts';
import type { StateRoot } from '../engine/engine.ts';
import type { Node, NodeCalls } from './node.ts';
import type { CheckpointSummary } from './node-checkpoints.ts';
import type { ScrubReport } from './scrubber.ts';

export class AbortableNode<Commands, Queries> implements NodeCalls<Commands, Queries> {
  readonly #node: Node<Commands, Queries>;
  readonly #signal: AbortSignal;

  constructor(node: Node<Commands, Queries>, signal: AbortSignal) {
    this.#node = node;
    this.#signal = signal;
  }

  readonly submit: Node<Commands, Queries>['submit'] = (name, ...args) =>
    untilAborted(this.#signal, () => this.#node.submit(name, ...args), outcomeUnknown(name));

  readonly attempt: Node<Commands, Queries>['attempt'] = (name, ...args) =>
    untilAborted(this.#signal, () => this.#node.attempt(name, ...args), outcomeUnknown(name));

  readonly query: Node<Commands, Queries>['query'] = (name, ...args) =>
    untilAborted(this.#signal, () => this.#node.query(name, ...args));

  /** Aborted while it waits, the run goes on: who asks again with its id gets its result. */
  readonly run: Node<Commands, Queries>['run'] = (procedure, argument, options) =>
    untilAborted(this.#signal, () => this.#node.run(procedure, argument, options));

  root(): Promise<StateRoot> {
    return untilAborted(this.#signal, () => this.#node.root());
  }

  checkpoint(): Promise<CheckpointSummary> {
    return untilAborted(this.#signal, () => this.#node.checkpoint());
  }

  scrub(): Promise<ScrubReport> {
    return untilAborted(this.#signal, () => this.#node.scrub());
  }

  whenLoaded(): Promise<void> {
    return untilAborted(this.#signal, () => this.#node.whenLoaded());
  }

  sync(): Promise<void> {
    return untilAborted(this.#signal, () => this.#node.sync());
  }

  drained(): Promise<void> {
    return untilAborted(this.#signal, () => this.#node.drained());
  }
}

function outcomeUnknown(called: string): (reason: unknown) => TidemarkError {
  return (reason) =>
    new TidemarkError(
      'TIDEMARK_OUTCOME_UNKNOWN',
      `${called} was taken before its signal was aborted: it takes effect unless the machine rejects it, ` +
        'and nobody waits for its outcome any more',
      { remedy: 'fix-call', facts: { called }, cause: reason },
    );
}
