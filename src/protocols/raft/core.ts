/**
 * What a replica knows, and the few steps that every part of the protocol needs: to say something, to persist
 * something, to become a follower. The parts are functions on it, each in a file of its own; raft.ts hands
 * each input to its part.
 *
 * Invariants:
 *  - `term` never goes back, and `vote` changes only with it (or is given once in it).
 *  - `compactedTo ≤ committed ≤ last`. `durable ≤ last`; it may be behind `committed`.
 *  - `verified ≤ last`: up to there the log equals that of the leader of `term`.
 *  - `lead` is not null exactly while this replica leads.
 */

import { assert } from '../../base/assert.ts';
import { type Index, nextIndex, previousIndex, type Term, toIndex } from '../../base/positions.ts';
import type {
  AppendContent,
  ContradictReason,
  Effect,
  PersistId,
  ReadFailure,
  RequestId,
  Role,
  Standing,
} from './effects.ts';
import { ElectionTimer } from './election-timer.ts';
import { EntrySizes } from './entry-sizes.ts';
import type { Leadership } from './leadership.ts';
import { type LogShape, LogTerms } from './log-terms.ts';
import { isVoter, type Membership, MembershipHistory } from './membership.ts';
import {
  type MembershipEntry,
  type Message,
  NOBODY,
  type ReplicaId,
  type Saying,
  type StatePoint,
  type TermRun,
} from './messages.ts';
import { type RaftOptions, type ResolvedRaftOptions, resolveRaftOptions } from './options.ts';

/** What the host found on its disk. All of it is durable. */
export interface RaftStart {
  readonly id: ReplicaId;
  /** Number of this life: higher than that of any before, and durable. */
  readonly incarnation: number;
  /** Of the election timeouts. Two replicas have different ones. */
  readonly seed: number;
  readonly term: Term;
  /** `NOBODY` (0) when none was given in `term`. */
  readonly vote: ReplicaId;
  readonly committed: Index;
  readonly log: LogShape;
  /** Sizes of the last entries, as far as the host has their bodies in memory. */
  readonly tailSizes: readonly number[];
  /** In force at `log.compactedTo`. */
  readonly membership: MembershipEntry;
  /** In the entries after that. */
  readonly memberships: readonly MembershipEntry[];
  /** `recovering` when the status says so, or anything durable turned out to be damaged or lost. */
  readonly standing: Standing;
  /** The newest checkpoint that others can be brought to, or null. */
  readonly checkpoint: StatePoint | null;
  readonly options?: RaftOptions;
}

interface PendingAppend {
  readonly persist: PersistId;
  readonly first: Index;
}

/** Reads of a follower on their way to the leader. */
export interface FollowerReads {
  /** Of the question that is out; the number stays after its answer. */
  ask: number;
  /** Who waits for its answer; null when none is out. */
  asking: RequestId[] | null;
  ticks: number;
  /** Who waits for the next question. */
  waiting: RequestId[];
}

export class Core {
  readonly id: ReplicaId;
  readonly incarnation: number;
  readonly options: ResolvedRaftOptions;
  readonly timer: ElectionTimer;
  readonly log: LogTerms;
  readonly sizes: EntrySizes;
  readonly memberships: MembershipHistory;
  term: Term;
  vote: ReplicaId;
  leader: ReplicaId = NOBODY;
  role: Role = 'follower';
  standing: Standing;
  committed: Index;
  verified: Index;
  /** Ticks since the election timer was last started. */
  elapsed = 0;
  /**
   * Ticks since a leader was last heard. A start counts as having heard one: an earlier life may have, and a
   * lease rests on it.
   */
  sinceLeader = 0;
  readonly votes = new Map<ReplicaId, boolean>();
  /** The status that holds a candidate's vote for itself, which counts once it is durable. */
  ownVotePersist: PersistId = 0;
  lead: Leadership | null = null;
  readonly reads: FollowerReads = { ask: 0, asking: null, ticks: 0, waiting: [] };
  /** The state that the host was asked to fetch. */
  fetching: StatePoint | null = null;
  checkpoint: StatePoint | null;
  /** The latest life of each peer that was heard. */
  readonly lives = new Map<ReplicaId, number>();
  /** `fenced`: another life of this replica is known. `stopped`: what Raft rules out was seen. */
  condition: 'running' | 'fenced' | 'stopped' = 'running';
  effects: Effect[] = [];
  #persistCount: PersistId = 0;
  #statusPersist: PersistId = 0;
  #statusDurable: PersistId = 0;
  #isStatusChanged = false;
  #pendingAppends: PendingAppend[] = [];

  constructor(start: RaftStart) {
    this.id = start.id;
    this.incarnation = start.incarnation;
    this.options = resolveRaftOptions(start.options ?? {});
    this.timer = new ElectionTimer(this.options.electionTicksMin, start.seed);
    this.log = new LogTerms(start.log);
    this.sizes = new EntrySizes(this.log.last, start.tailSizes);
    this.memberships = new MembershipHistory(start.membership, start.memberships);
    this.checkpoint = start.checkpoint;
    this.vote = start.vote;
    this.term = start.term;
    this.standing = start.standing;
    this.committed = start.committed < this.log.last ? start.committed : this.log.last;
    if (this.committed < this.log.compactedTo) this.committed = this.log.compactedTo;
    this.verified = this.committed;
    if (start.committed > this.log.last) this.contradict('committed', start.committed);
    if (this.log.lastTerm > start.term) this.#distrustStatus();
  }

  get membership(): Membership {
    return this.memberships.latest.membership;
  }

  /** Everything up to here is durable as it is now in the log. */
  get durable(): Index {
    let first: Index = nextIndex(this.log.last);
    for (const pending of this.#pendingAppends) if (pending.first < first) first = pending.first;
    return previousIndex(first);
  }

  /**
   * Whether it may stand for election, or be asked to. One that the latest membership leaves out still stands
   * while that is not committed: nobody else may have its entry, and those without need this replica's vote.
   */
  get canLead(): boolean {
    if (this.standing !== 'voting' || this.condition !== 'running') return false;
    const { latest, before } = this.memberships;
    const isOpen = latest.index > this.committed;
    return isVoter(latest.membership, this.id) || (isOpen && isVoter(before.membership, this.id));
  }

  /** Whether a leader was heard so recently that this replica helps nobody against it. */
  get hearsLeader(): boolean {
    return this.role === 'leader' || this.sinceLeader < this.options.electionTicksMin;
  }

  emit(effect: Effect): void {
    this.effects.push(effect);
  }

  say(saying: Saying, after: PersistId | null = null): void {
    const { id: from, incarnation, term } = this;
    this.emit({ kind: 'send', message: { from, incarnation, term, ...saying } as Message, after });
  }

  /** Says what promises something of this term: the term must be durable first, and the vote in it. */
  promise(saying: Saying): void {
    this.say(saying, this.statusNeeded());
  }

  /** Status to wait for before the term or the vote is relied on; null if it is durable. */
  statusNeeded(): PersistId | null {
    this.flushStatus();
    return this.#statusPersist > this.#statusDurable ? this.#statusPersist : null;
  }

  changeStatus(change: {
    readonly term?: Term;
    readonly vote?: ReplicaId;
    readonly standing?: Standing;
  }): void {
    assert((change.term ?? this.term) >= this.term, `the term does not go back from ${this.term}`);
    this.term = change.term ?? this.term;
    this.vote = change.vote ?? this.vote;
    this.standing = change.standing ?? this.standing;
    this.#isStatusChanged = true;
  }

  /** One persist for all that changed since the last. */
  flushStatus(): void {
    if (!this.#isStatusChanged) return;
    this.#isStatusChanged = false;
    this.#statusPersist = ++this.#persistCount;
    const { term, vote, standing } = this;
    this.emit({ kind: 'persist-status', persist: this.#statusPersist, term, vote, standing });
  }

  statusPersisted(persist: PersistId): void {
    if (persist > this.#statusDurable) this.#statusDurable = persist;
  }

  isStatusDurable(persist: PersistId): boolean {
    return persist <= this.#statusDurable;
  }

  /** Appends to the log in memory, and asks for the same on the disk. */
  append(entries: {
    readonly runs: readonly TermRun[];
    readonly sizes: readonly number[];
    readonly memberships: readonly MembershipEntry[];
    readonly truncateAfter: Index | null;
    readonly content: AppendContent;
  }): void {
    const { runs, sizes, truncateAfter, content } = entries;
    this.flushStatus(); // A log is never durable with a term that the status lacks.
    const inForce = this.memberships.latest;
    if (truncateAfter !== null) this.#truncateAfter(truncateAfter);
    const first = nextIndex(this.log.last);
    const last = toIndex(this.log.last + sizes.length);
    this.log.append(runs, last);
    this.sizes.append(sizes);
    for (const entry of entries.memberships) this.memberships.append(entry);
    const persist = ++this.#persistCount;
    this.#pendingAppends.push({ persist, first });
    this.emit({ kind: 'append-log', persist, truncateAfter, first, last, runs, content });
    this.announceMembership(inForce);
  }

  /** Tells the host the membership in force, if it is another than `before`. */
  announceMembership(before: MembershipEntry): void {
    const { latest } = this.memberships;
    if (latest !== before) this.emit({ kind: 'use-membership', ...latest });
  }

  logPersisted(persist: PersistId): void {
    this.#pendingAppends = this.#pendingAppends.filter((pending) => pending.persist > persist);
  }

  /** The log begins anew behind an installed state: no append from before counts. */
  resetLog(state: StatePoint, membership: MembershipEntry): void {
    const inForce = this.memberships.latest;
    this.log.resetTo(state.index, state.term);
    this.sizes.resetTo(state.index);
    this.memberships.resetTo(membership);
    this.#pendingAppends = [];
    this.verified = state.index;
    this.announceMembership(inForce);
  }

  commitTo(index: Index): void {
    if (index <= this.committed) return;
    assert(index <= this.log.last, `index ${index} is in the log up to ${this.log.last}`);
    this.committed = index;
    this.emit({ kind: 'commit', index });
  }

  /** In a term of its own or a higher one, which then begins without a vote. */
  becomeFollower(term: Term, leader: ReplicaId): void {
    const isNewTerm = term > this.term;
    if (isNewTerm) this.changeStatus({ term, vote: NOBODY });
    const wasLeading = this.lead;
    const isNews = isNewTerm || this.role !== 'follower' || this.leader !== leader;
    if (isNewTerm || wasLeading !== null || this.leader !== leader) this.verified = this.committed;
    if (wasLeading !== null) this.sinceLeader = this.options.electionTicksMin; // Nobody is owed any waiting.
    this.role = 'follower';
    this.leader = leader;
    this.lead = null;
    this.votes.clear();
    this.restartTimer();
    if (!isNews) return;
    this.failFollowerReads('leader-changed');
    this.emit({ kind: 'become', role: 'follower', term: this.term, leader });
    if (wasLeading !== null) this.#abandon(wasLeading, isNewTerm ? 'new-term' : 'same-term');
  }

  /** As a pre-candidate or candidate: nobody leads. */
  stand(role: 'pre-candidate' | 'candidate'): void {
    this.role = role;
    this.leader = NOBODY;
    this.votes.clear();
    this.restartTimer();
    this.failFollowerReads('no-leader');
    this.emit({ kind: 'become', role, term: this.term, leader: NOBODY });
  }

  restartTimer(): void {
    this.elapsed = 0;
    this.timer.redraw();
  }

  failFollowerReads(reason: ReadFailure): void {
    const requests = [...(this.reads.asking ?? []), ...this.reads.waiting];
    this.reads.asking = null;
    this.reads.waiting = [];
    for (const request of requests) this.failRead(request, reason);
  }

  failRead(request: RequestId, reason: ReadFailure): void {
    this.emit({ kind: 'read-failed', request, reason, leader: this.leader });
  }

  /** What a peer or the disk shows cannot be if this disk were as it was: it no longer vouches for itself. */
  contradict(reason: ContradictReason, value: number): void {
    if (this.standing === 'recovering' && reason !== 'later-life') return;
    this.distrust();
    this.emit({ kind: 'contradicted', reason, value });
    if (reason === 'later-life') this.condition = 'fenced';
  }

  /** What this disk once vouched for, it does not any more. */
  distrust(): void {
    this.changeStatus({ standing: 'recovering' });
    if (this.role !== 'follower') this.becomeFollower(this.term, NOBODY);
  }

  /** A status is written before the log that has its term: this one is an older copy. */
  #distrustStatus(): void {
    const shown = this.term;
    this.changeStatus({ term: this.log.lastTerm, vote: NOBODY });
    this.contradict('status', shown);
  }

  #truncateAfter(index: Index): void {
    assert(index >= this.committed, `what is committed up to ${this.committed} stays, got ${index}`);
    this.log.truncateAfter(index);
    this.sizes.truncateAfter(index);
    this.memberships.truncateAfter(index);
  }

  /** Whoever waits for this leader hears that it leads no more. */
  #abandon(lead: Leadership, cause: 'new-term' | 'same-term'): void {
    for (const { origin } of lead.takeReads()) {
      if (origin.kind === 'own') this.failRead(origin.request, 'leader-changed');
    }
    const { transfer } = lead;
    if (transfer === null) return;
    const { request, to } = transfer;
    const outcome = transfer.isSent && cause === 'new-term' ? 'done' : 'aborted';
    this.emit({ kind: 'transfer-ended', request, to, outcome });
  }
}
