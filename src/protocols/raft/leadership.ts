/**
 * What only a leader knows, for as long as it leads: its peers, its rounds of heartbeats, and who waits for
 * it. All of it is gone with the term.
 */

import type { Index } from '../../base/positions.ts';
import type { RequestId } from './effects.ts';
import type { MembershipEntry, ReplicaId } from './messages.ts';
import { Progress } from './progress.ts';

/** Who asked for a read. */
export type ReadOrigin =
  | { readonly kind: 'own'; readonly request: RequestId }
  | { readonly kind: 'peer'; readonly from: ReplicaId; readonly ask: number; readonly incarnation: number };

export interface WaitingRead {
  readonly origin: ReadOrigin;
}

/** Reads that share a round of heartbeats. */
interface ReadRound {
  readonly round: number;
  /** What was committed when the round began: at least what was when any of them came. */
  readonly index: Index;
  readonly reads: readonly WaitingRead[];
}

export interface Transfer {
  readonly request: RequestId;
  readonly to: ReplicaId;
  ticksLeft: number;
  /** The target was told to stand. */
  isSent: boolean;
}

/** A recovering life, and the entry that must be committed without it before it votes again. */
interface Readmission {
  readonly incarnation: number;
  readonly index: Index;
}

export class Leadership {
  /** Everybody else in the membership in force, and in the one before while that is not committed. */
  readonly peers = new Map<ReplicaId, Progress>();
  /** The membership that `peers` are of, and whether it was not yet committed. */
  followed: MembershipEntry | null = null;
  isFollowedOpen = false;
  /** The empty entry with which the term began: once it is committed, so is everything before it. */
  readonly firstIndex: Index;
  readonly readmissions = new Map<ReplicaId, Readmission>();
  round = 0;
  ticks = 0;
  ticksSinceHeartbeat = 0;
  waitingReads: WaitingRead[] = [];
  readRound: ReadRound | null = null;
  transfer: Transfer | null = null;
  /** No lease any more in this term: whoever was told to stand may do so whenever it hears of it. */
  hasTransferred = false;
  /** Tick in which the round began that a quorum answered last; null before the first. */
  leaseBeganAt: number | null = null;
  loadCount = 0;
  /** Rounds that a quorum has not yet answered. */
  #openRounds: { readonly round: number; readonly ticks: number }[] = [];

  constructor(firstIndex: Index) {
    this.firstIndex = firstIndex;
  }

  get hasOpenRounds(): boolean {
    return this.#openRounds.length > 0;
  }

  follow(id: ReplicaId, last: Index): void {
    if (!this.peers.has(id)) this.peers.set(id, new Progress(id, last));
  }

  openRound(): number {
    this.round++;
    this.#openRounds.push({ round: this.round, ticks: this.ticks });
    return this.round;
  }

  /** A quorum answered `round` or a later one: the lease runs from when that round began. */
  closeRounds(round: number): void {
    const answered = this.#openRounds.findLast((open) => open.round <= round);
    if (answered === undefined) return;
    this.leaseBeganAt = answered.ticks;
    this.#openRounds = this.#openRounds.filter((open) => open.round > round);
  }

  takeReads(): readonly WaitingRead[] {
    const reads = [...(this.readRound?.reads ?? []), ...this.waitingReads];
    this.readRound = null;
    this.waitingReads = [];
    return reads;
  }
}
