/**
 * What goes into the core and what comes out of it.
 *
 * Effects are in execution order. The host carries out all effects of one call before it makes the next, but
 * need not wait for the disk: it starts the writes in their order, and holds back a `send` until the persist
 * that it names is durable. Nothing else orders them, so that a heartbeat never waits for a slow disk.
 *
 * Persists are numbered, in one row. Durable in their order are: statuses among each other, log persists
 * among each other, and a log persist not before the statuses that were asked for before it. A vote thus does
 * not wait for the log, and a replica whose status is older than its log has lost a status.
 */

import type { Index, Term } from '../../base/positions.ts';
import type { Membership } from './membership.ts';
import type { MembershipEntry, Message, ReplicaId, StatePoint, TermRun } from './messages.ts';

/** Number of a persist, from 1, growing within one life. */
export type PersistId = number;

/** What the host calls a proposal, a read or a change by; opaque to the core, unique within one life. */
export type RequestId = number;

/** What a replica does in its term. */
export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

/**
 * Whether a replica may keep promises that its disk no longer shows. `recovering`: it lost some of it, so it
 * neither votes nor counts, until a leader readmits it.
 */
export type Standing = 'voting' | 'recovering';

/** What a host tells a core. */
export type Input =
  /** Another entry for the log, of so many bytes. Answered by `append-log` or `reject`. */
  | { readonly kind: 'propose'; readonly request: RequestId; readonly bytes: number }
  | { readonly kind: 'message'; readonly message: Message }
  /** Statuses up to this persist are durable. */
  | { readonly kind: 'status-persisted'; readonly persist: PersistId }
  /** Log persists up to this one are durable. */
  | { readonly kind: 'log-persisted'; readonly persist: PersistId }
  /** Answered by `read-ready` or `read-failed`. */
  | { readonly kind: 'read'; readonly request: RequestId; readonly consistency: 'read-index' | 'lease' }
  /** Answered by `append-log` with the membership, or `reject`. */
  | { readonly kind: 'change-membership'; readonly request: RequestId; readonly change: MembershipChange }
  /** Answered by `transfer-ended` or `reject`. */
  | { readonly kind: 'transfer'; readonly request: RequestId; readonly to: ReplicaId }
  /**
   * The bodies that `load` asked for, from its first on, as many as have a size here; none: it has them not.
   */
  | { readonly kind: 'loaded'; readonly load: number; readonly sizes: readonly number[] }
  /** Bodies before `first` are no longer in memory. */
  | { readonly kind: 'evicted'; readonly first: Index }
  /** Entries up to `index` are no longer in the log. */
  | { readonly kind: 'compacted'; readonly index: Index }
  /** A checkpoint that replicas can be brought to, newer than the one before. */
  | { readonly kind: 'checkpoint'; readonly state: StatePoint }
  /**
   * The state that `fetch-state` asked for is durable, and the log begins behind it if it had not its end.
   */
  | { readonly kind: 'state-installed'; readonly state: StatePoint; readonly membership: MembershipEntry }
  /**
   * The host found that its disk or its state is not what it was: from here on as after a start with damage.
   */
  | { readonly kind: 'distrust' }
  /** Nobody has the state any more that `fetch-state` asked for. */
  | { readonly kind: 'state-failed'; readonly index: Index };

/** Entries in a change: the complete set of voters and learners that shall be. */
export interface MembershipChange {
  readonly voters: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
  /** Of the learners, those that shall become voters by themselves when they have caught up. */
  readonly promoting: readonly ReplicaId[];
}

/** Where the entries of an `append-log` come from. */
export type AppendContent =
  | { readonly kind: 'proposal'; readonly request: RequestId }
  /** From the `append` that this call was given. */
  | { readonly kind: 'received' }
  /** One entry without a body, with which a leader begins its term or readmits a replica. */
  | { readonly kind: 'empty' }
  | { readonly kind: 'membership'; readonly membership: Membership; readonly request: RequestId | null };

/** Why a proposal, a change or a transfer was not taken. */
export type RejectReason =
  /** `leader` may know. */
  | 'not-leader'
  /** Uncommitted entries take as many bytes as may be; later there is room. */
  | 'busy'
  | 'transferring'
  /** The leader has not yet committed an entry of its term, or another change is under way. */
  | 'not-ready'
  /** It names nobody, or one replica twice, or too many. */
  | 'invalid'
  | 'unchanged'
  /** A voter to be is no learner that has caught up. */
  | 'not-caught-up'
  /** Of those that would decide, no majority is alive. */
  | 'quorum-lost'
  | 'not-a-voter';

/** Why a read was not answered; it may be asked again. */
export type ReadFailure = 'no-leader' | 'leader-changed' | 'timeout' | 'busy';

/** What Raft rules out, as it was met. */
export type Violation =
  | { readonly kind: 'two-leaders'; readonly term: Term; readonly one: ReplicaId; readonly other: ReplicaId }
  /** A leader would replace an entry that is committed here. */
  | { readonly kind: 'committed-contradicted'; readonly index: Index; readonly from: ReplicaId }
  /** A replica with this one's own id speaks. */
  | { readonly kind: 'own-identity'; readonly incarnation: number };

/** What shows that a disk is not as it was. */
export type ContradictReason =
  /** A peer heard a later life: `value` is its number. */
  | 'later-life'
  /** A leader has its acknowledgement up to `value`, and the log is shorter. */
  | 'acknowledged'
  /** The status or the leader says that `value` is committed, and the log is shorter. */
  | 'committed'
  /** The log has a higher term than the status, which has `value`. */
  | 'status';

/** What a core asks its host to do, or tells it. */
export type Effect =
  /** Replaces the status; `vote` is `NOBODY` (0) when none was given in `term`. */
  | {
      readonly kind: 'persist-status';
      readonly persist: PersistId;
      readonly term: Term;
      readonly vote: ReplicaId;
      readonly standing: Standing;
    }
  /** Removes what is behind `truncateAfter`, if it is not null, then appends `first` to `last`. */
  | {
      readonly kind: 'append-log';
      readonly persist: PersistId;
      readonly truncateAfter: Index | null;
      readonly first: Index;
      readonly last: Index;
      readonly runs: readonly TermRun[];
      readonly content: AppendContent;
    }
  | { readonly kind: 'send'; readonly message: Message; readonly after: PersistId | null }
  /** Bring bodies into memory, at most to `last` and at most `bytesMax` (one entry in any case). */
  | {
      readonly kind: 'load';
      readonly load: number;
      readonly to: ReplicaId;
      readonly first: Index;
      readonly last: Index;
      readonly bytesMax: number;
    }
  /** Everything up to `index` is committed. It need not be durable here. */
  | { readonly kind: 'commit'; readonly index: Index }
  /** The read may be answered from a state with `index` applied. */
  | { readonly kind: 'read-ready'; readonly request: RequestId; readonly index: Index }
  | {
      readonly kind: 'read-failed';
      readonly request: RequestId;
      readonly reason: ReadFailure;
      readonly leader: ReplicaId;
    }
  | {
      readonly kind: 'reject';
      readonly request: RequestId;
      readonly reason: RejectReason;
      readonly leader: ReplicaId;
    }
  /** This membership is in force from now on, committed or not. Earlier ones may come back. */
  | { readonly kind: 'use-membership'; readonly index: Index; readonly membership: Membership }
  | {
      readonly kind: 'become';
      readonly role: Role;
      readonly term: Term;
      readonly leader: ReplicaId;
    }
  /** A later one replaces it; what it has fetched stays of use. */
  | {
      readonly kind: 'fetch-state';
      readonly from: ReplicaId;
      readonly state: StatePoint;
      readonly membership: MembershipEntry;
    }
  /** `done`: after the target was told to stand, another term began. Who leads it, `become` says. */
  | {
      readonly kind: 'transfer-ended';
      readonly request: RequestId;
      readonly to: ReplicaId;
      readonly outcome: 'done' | 'aborted';
    }
  /**
   * A peer knows a later life of this replica, or what it acknowledged and no longer has, or its status shows
   * it: its disk went back in time, or another process has its identity. It is `recovering` from here on.
   * After `later-life` it says nothing more: the host starts it again, with a life above `value`.
   */
  | {
      readonly kind: 'contradicted';
      readonly reason: ContradictReason;
      readonly value: number;
    }
  /** What Raft rules out. The core does nothing from here on; the host stops. */
  | { readonly kind: 'violation'; readonly violation: Violation };
