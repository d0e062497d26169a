/**
 * What replicas say to each other: one type for each message. The table of docs/raft.md says who sends which
 * of them when, and what must be durable before.
 *
 * A message holds no bodies of entries. The host puts those of an `append` behind it (codec.ts) and takes
 * them off again; the core sees their terms, their sizes, and the memberships among them.
 *
 * Every message names the life of its sender. A life is one run of a replica, numbered by the host, which
 * makes the number durable before it starts the core. What an earlier life said is dropped once a later one
 * was heard: it may have promised what the later one no longer has.
 */

import type { Index, Term } from '../../base/positions.ts';
import type { Membership } from './membership.ts';

/** A replica, from 1. Never given to another, not even after a removal. */
export type ReplicaId = number;

/** No replica: no vote given, no leader known. */
export const NOBODY: ReplicaId = 0;

/** Entries from `first` on have `term`, up to the next run. */
export interface TermRun {
  readonly first: Index;
  readonly term: Term;
}

/** A membership and the index of the entry that holds it. */
export interface MembershipEntry {
  readonly index: Index;
  readonly membership: Membership;
}

/** A checkpoint that replicas can be brought to: opaque to the core but for its place in the log. */
export interface StatePoint {
  readonly index: Index;
  /** Term of the entry at `index`. */
  readonly term: Term;
  /** Names the state: 64 lower-case hexadecimal digits. */
  readonly root: string;
}

interface Said<Kind extends string> {
  readonly kind: Kind;
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  /** Of the sender's life. */
  readonly incarnation: number;
  /** The sender's term; in `pre-vote`, the term that it would begin. */
  readonly term: Term;
}

export interface PreVote extends Said<'pre-vote'> {
  readonly lastIndex: Index;
  readonly lastTerm: Term;
}

export interface PreVoteReply extends Said<'pre-vote-reply'> {
  readonly isGranted: boolean;
}

export interface Vote extends Said<'vote'> {
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  /** `transfer`: the leader asked for it, so that a leader that was just heard is no reason to refuse. */
  readonly cause: 'timeout' | 'transfer';
}

export interface VoteReply extends Said<'vote-reply'> {
  readonly isGranted: boolean;
}

/** Entries `previousIndex + 1` to `previousIndex + sizes.length`; none in a probe or a notice of commits. */
export interface Append extends Said<'append'> {
  readonly previousIndex: Index;
  readonly previousTerm: Term;
  /** Ascending; the first one begins at `previousIndex + 1`. Empty when there are no entries. */
  readonly runs: readonly TermRun[];
  /** Bytes of each entry. */
  readonly sizes: readonly number[];
  /** Memberships among the entries, ascending. */
  readonly memberships: readonly MembershipEntry[];
  readonly committed: Index;
}

export interface AppendReply extends Said<'append-reply'> {
  /** The sender has everything up to here durable, equal to what the leader of `term` has. */
  readonly match: Index;
  /** The same in memory: what was sent after it got lost, or is on its way. */
  readonly received: Index;
  readonly isRecovering: boolean;
}

export interface AppendReject extends Said<'append-reject'> {
  /** The `previousIndex` that did not match. */
  readonly rejected: Index;
  /** The last place at or before it whose term is not above the leader's there. */
  readonly hintIndex: Index;
  readonly hintTerm: Term;
  readonly lastIndex: Index;
  readonly isRecovering: boolean;
}

export interface Heartbeat extends Said<'heartbeat'> {
  /** At most what the receiver acknowledged. */
  readonly committed: Index;
  /** Grows with each round of heartbeats of a term; answers name it. */
  readonly round: number;
}

export interface HeartbeatReply extends Said<'heartbeat-reply'> {
  readonly round: number;
  /** Both as in {@link AppendReply}: an acknowledgement that got lost is said again with every round. */
  readonly match: Index;
  readonly received: Index;
  readonly isRecovering: boolean;
}

export interface ReadIndex extends Said<'read-index'> {
  /** Grows with each question of one life. */
  readonly ask: number;
}

export interface ReadIndexReply extends Said<'read-index-reply'> {
  readonly ask: number;
  /** The life that asked: questions of another one have the same numbers. */
  readonly forIncarnation: number;
  /** What must be applied before the read, or null: this replica cannot say. */
  readonly index: Index | null;
}

export type TimeoutNow = Said<'timeout-now'>;

export interface OfferState extends Said<'offer-state'> {
  readonly state: StatePoint;
  /** In force at the index of the state. */
  readonly membership: MembershipEntry;
}

export interface Readmit extends Said<'readmit'> {
  readonly forIncarnation: number;
  /** An entry that was appended after that life had asked, and is committed without it. */
  readonly index: Index;
}

export interface Contradict extends Said<'contradict'> {
  /** The highest life of the receiver that was heard of. */
  readonly knownIncarnation: number;
  /** What the receiver once acknowledged to this leader. */
  readonly acknowledged: Index;
}

/** Whatever one replica says to another. */
export type Message =
  | PreVote
  | PreVoteReply
  | Vote
  | VoteReply
  | Append
  | AppendReply
  | AppendReject
  | Heartbeat
  | HeartbeatReply
  | ReadIndex
  | ReadIndexReply
  | TimeoutNow
  | OfferState
  | Readmit
  | Contradict;

/** A message without what the core puts on every one: its sender, the sender's life, and mostly the term. */
export type Saying = Message extends infer Each
  ? Each extends Message
    ? Omit<Each, 'from' | 'incarnation' | 'term'> & { readonly term?: Term }
    : never
  : never;
