/**
 * What a leader knows of one peer, and how much of the log it has on its way to it.
 *
 * - `probing`: where the two logs match is not known. One message at a time.
 * - `replicating`: it is known. Messages go out ahead of their answers, up to a bound of messages and bytes.
 * - `installing`: the peer needs what is no longer in the log, and was offered a state.
 *
 * Invariants:
 *  - `match < next`. `match` is durable at the peer, in the life of it that is known, and never goes back
 *    within that life.
 *  - A peer that is recovering has acknowledged nothing as far as quorums are concerned, whatever its match.
 */

import type { Index } from '../../base/positions.ts';
import { nextIndex, toIndex } from '../../base/positions.ts';
import type { ReplicaId, StatePoint } from './messages.ts';

/** Rounds of heartbeats whose answers are still compared with what had been sent. */
const ROUNDS_NOTED_MAX = 32;

export type ProgressMode = 'probing' | 'replicating' | 'installing';

interface InflightAppend {
  readonly last: Index;
  readonly bytes: number;
}

interface NotedRound {
  readonly round: number;
  /** Last entry that had been sent before the heartbeat. */
  readonly sentThrough: Index;
}

export class Progress {
  readonly id: ReplicaId;
  mode: ProgressMode = 'probing';
  match: Index = toIndex(0);
  next: Index;
  /**
   * In `probing`: round of heartbeats that was the last when the probe left, or null when none is out. The
   * next one waits for an answer to it, or to a later round: then it got lost.
   */
  probeRound: number | null = null;
  /** Number of the load that was asked for, or 0. */
  load = 0;
  /** Where that load begins. */
  loadFirst: Index = toIndex(0);
  /** In `installing`: what was offered. */
  offered: StatePoint | null = null;
  /** Ticks since it was offered. */
  offeredTicks = 0;
  /** Highest commit index that it was told. */
  toldCommitted: Index = toIndex(0);
  /** Highest round of heartbeats that it answered. */
  ackedRound = 0;
  /** Ticks since it was heard, or since the term or its life began. */
  silentTicks = 0;
  /** It was heard in this term and in its life: what is said of it is not presumed. */
  isHeard = false;
  isRecovering = false;
  /** What an earlier life of it acknowledged in this term. Losing it is going back in time. */
  claimed: Index = toIndex(0);
  /** A learner catches up in rounds: each brings what was in the log when it began. */
  catchUpTarget: Index;
  catchUpTicks = 0;
  /** The last round was shorter than an election timeout. */
  isCaughtUp = false;
  #inflight: InflightAppend[] = [];
  #inflightBytes = 0;
  #rounds: NotedRound[] = [];

  constructor(id: ReplicaId, last: Index) {
    this.id = id;
    this.next = nextIndex(last);
    this.catchUpTarget = last;
  }

  /** What it counts for in a quorum of acknowledgements. */
  get counted(): Index {
    return this.isRecovering ? toIndex(0) : this.match;
  }

  get inflightCount(): number {
    return this.#inflight.length;
  }

  hasRoom(messagesMax: number, bytesMax: number): boolean {
    return this.#inflight.length < messagesMax && this.#inflightBytes < bytesMax;
  }

  noteSent(last: Index, bytes: number): void {
    this.#inflight.push({ last, bytes });
    this.#inflightBytes += bytes;
    this.next = nextIndex(last);
  }

  noteHeartbeat(round: number): void {
    this.#rounds.push({ round, sentThrough: toIndex(this.next - 1) });
    if (this.#rounds.length > ROUNDS_NOTED_MAX) this.#rounds.shift();
  }

  /** What had been sent before the heartbeat of `round`; null if that is not known any more. */
  sentBefore(round: number): Index | null {
    const noted = this.#rounds.find((each) => each.round === round);
    this.#rounds = this.#rounds.filter((each) => each.round > round);
    return noted?.sentThrough ?? null;
  }

  /** Durable there up to `match`. @returns Whether that is new. */
  acknowledge(match: Index): 'new' | 'known' {
    while ((this.#inflight[0]?.last ?? Infinity) <= match)
      this.#inflightBytes -= this.#inflight.shift()!.bytes;
    if (this.next <= match) this.next = nextIndex(match);
    if (match <= this.match) return 'known';
    this.match = match;
    return 'new';
  }

  /** To `probing` or `replicating`, from `next` on. What is on its way is not counted on. */
  restartAt(mode: 'probing' | 'replicating', next: Index): void {
    this.mode = mode;
    this.next = next > this.match ? next : nextIndex(this.match);
    this.probeRound = null;
    this.load = 0;
    this.offered = null;
    this.#inflight = [];
    this.#inflightBytes = 0;
  }

  /** Another life of the peer: what the last one acknowledged is a claim that it may no longer keep. */
  beginLife(): void {
    if (this.match > this.claimed) this.claimed = this.match;
    this.match = toIndex(0);
    this.ackedRound = 0;
    this.isRecovering = false;
    this.isHeard = false;
    this.#rounds = [];
    this.restartAt('probing', nextIndex(this.claimed));
  }

  /** Ends rounds of catching up; `last` is the end of the log. */
  catchUp(last: Index, electionTicks: number): void {
    if (this.catchUpTicks >= electionTicks) this.isCaughtUp = false;
    if (this.match < this.catchUpTarget) return;
    this.isCaughtUp = this.catchUpTicks < electionTicks;
    this.catchUpTarget = last;
    this.catchUpTicks = 0;
  }
}
