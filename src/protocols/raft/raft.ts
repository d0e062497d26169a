/**
 * Raft: one replica's part, as a sans-IO state machine.
 *
 * Feed it inputs with `step` and time with `tick`; carry out the returned effects in order. It never reads a
 * clock, draws a number from outside, waits, or sends anything itself. It holds no bodies of entries: it
 * knows the terms of the log, and the sizes of the entries that the host has in memory.
 *
 * It assumes what the host must provide: what it reports as durable is; messages come from members of the
 * same cluster, whole, and are decoded (codec.ts); the incarnation is higher than that of any earlier life.
 * It assumes nothing of the order of messages, nor that they arrive, nor that they arrive once.
 *
 * Where the rules are: election.ts (who leads), following.ts and replication.ts (how logs become equal),
 * leading.ts (when an entry is committed), changes.ts (who takes part), reads.ts, transfer.ts. The messages,
 * the steps, and where we deviate from the papers: docs/raft.md.
 *
 * Sources: Ongaro & Ousterhout, "In Search of an Understandable Consensus Algorithm", USENIX ATC 2014
 * (extended version); Ongaro, "Consensus: Bridging Theory and Practice", 2014.
 */

import { assert, unreachable } from '../../base/assert.ts';
import type { Index, Term } from '../../base/positions.ts';
import { changeMembership } from './changes.ts';
import { Core, type RaftStart } from './core.ts';
import type { Effect, Input, Role, Standing } from './effects.ts';
import {
  type Elected,
  onPreVote,
  onPreVoteReply,
  onStatusDurable,
  onVote,
  onVoteReply,
  standForElection,
  tickElection,
} from './election.ts';
import { acknowledge, onAppend, onHeartbeat, onOfferState, onReadmit } from './following.ts';
import { lead, propose, settle, tickLeader } from './leading.ts';
import type { Membership } from './membership.ts';
import { type Contradict, type MembershipEntry, type Message, NOBODY, type ReplicaId } from './messages.ts';
import type { ProgressMode } from './progress.ts';
import { hasQuorum } from './quorum.ts';
import { onReadIndex, onReadIndexReply, read, tickFollowerReads } from './reads.ts';
import { noteAlive, noteLife, onAppendReject, onHeartbeatReply, onLoaded, onMatched } from './replication.ts';
import { beginTransfer } from './transfer.ts';

/** Ids are u32 on the wire. */
const REPLICA_ID_MAX = 2 ** 32 - 1;

/** A peer, as its leader sees it. */
export interface PeerView {
  readonly id: ReplicaId;
  readonly mode: ProgressMode;
  readonly match: Index;
  readonly next: Index;
  readonly isRecovering: boolean;
  readonly isCaughtUp: boolean;
  readonly silentTicks: number;
}

/** What a replica knows, for tests, status and dashboard. */
export interface RaftView {
  readonly id: ReplicaId;
  readonly incarnation: number;
  readonly condition: 'running' | 'fenced' | 'stopped';
  readonly role: Role;
  readonly standing: Standing;
  readonly term: Term;
  readonly vote: ReplicaId;
  readonly leader: ReplicaId;
  readonly compactedTo: Index;
  readonly committed: Index;
  readonly durable: Index;
  readonly last: Index;
  readonly lastTerm: Term;
  readonly membershipIndex: Index;
  readonly membership: Membership;
  /** Target of a transfer that is under way, or `NOBODY`. */
  readonly transferee: ReplicaId;
  /** Of a leader; else empty. */
  readonly peers: readonly PeerView[];
}

/** One replica's part, for one life of it. */
export class Raft {
  readonly #core: Core;

  constructor(start: RaftStart) {
    const { id, incarnation } = start;
    const isId = Number.isInteger(id) && id > NOBODY && id <= REPLICA_ID_MAX;
    assert(isId, `a replica has an id from 1 to ${REPLICA_ID_MAX}, got ${id}`);
    const isLife = Number.isSafeInteger(incarnation) && incarnation > 0;
    assert(isLife, `a life has a number from 1, got ${incarnation}`);
    this.#core = new Core(start);
  }

  /** Effects of what was found at the start. Once, before anything else. */
  start(): Effect[] {
    const { term, memberships } = this.#core;
    this.#core.emit({ kind: 'use-membership', ...memberships.latest });
    this.#core.emit({ kind: 'become', role: 'follower', term, leader: NOBODY });
    if (isAlone(this.#core)) standForElection(this.#core, 'timeout');
    return this.#takeEffects();
  }

  /** Advances by one input. Effects are in execution order; an empty list means nothing to do. */
  step(input: Input): Effect[] {
    if (this.#core.condition !== 'running') return refuse(input);
    handle(this.#core, input);
    return this.#takeEffects();
  }

  /**
   * Advances the time. A host that was held up reports all ticks that passed, in one call, before anything
   * else: a lease is measured by them.
   */
  tick(count = 1): Effect[] {
    const core = this.#core;
    if (core.condition !== 'running') return [];
    if (core.lead !== null) {
      tickLeader(core, core.lead, count);
    } else {
      tickFollowerReads(core, count);
      // What its leader said may wait to be read while this process was held up.
      follow(core, tickElection(core, Math.min(count, core.options.heartbeatTicks)));
    }
    settle(core);
    return this.#takeEffects();
  }

  inspect(): RaftView {
    const core = this.#core;
    const { id, incarnation, condition, role, standing, term, vote, leader, committed, durable, log } = core;
    const { compactedTo, last, lastTerm } = log;
    return Object.freeze({
      id,
      incarnation,
      condition,
      role,
      standing,
      term,
      vote,
      leader,
      compactedTo,
      committed,
      durable,
      last,
      lastTerm,
      membershipIndex: core.memberships.latest.index,
      membership: core.membership,
      transferee: core.lead?.transfer?.to ?? NOBODY,
      peers: Object.freeze([...(core.lead?.peers.values() ?? [])].map(viewOf)),
    });
  }

  #takeEffects(): Effect[] {
    this.#core.flushStatus();
    const { effects } = this.#core;
    this.#core.effects = [];
    return effects;
  }
}

/**
 * Whether it needs nobody's vote but its own, and nobody else can lead: then there is nobody to wait for.
 * While that membership is not committed, the leader that brought it about may lead yet, and hold a lease.
 */
function isAlone(core: Core): boolean {
  const isCommitted = core.memberships.latest.index <= core.committed;
  return isCommitted && core.canLead && hasQuorum(core.membership, (id) => id === core.id);
}

function viewOf({ id, mode, match, next, isRecovering, isCaughtUp, silentTicks }: PeerView): PeerView {
  return Object.freeze({ id, mode, match, next, isRecovering, isCaughtUp, silentTicks });
}

/** Of one that is fenced or stopped. */
function refuse(input: Input): Effect[] {
  switch (input.kind) {
    case 'propose':
    case 'change-membership':
    case 'transfer':
      return [{ kind: 'reject', request: input.request, reason: 'not-leader', leader: NOBODY }];
    case 'read':
      return [{ kind: 'read-failed', request: input.request, reason: 'no-leader', leader: NOBODY }];
    default:
      return [];
  }
}

function handle(core: Core, input: Input): void {
  switch (input.kind) {
    case 'propose':
      propose(core, input);
      break;
    case 'message':
      receive(core, input.message);
      break;
    case 'status-persisted':
      core.statusPersisted(input.persist);
      follow(core, onStatusDurable(core));
      break;
    case 'log-persisted':
      core.logPersisted(input.persist);
      if (core.role === 'follower' && core.leader !== NOBODY) acknowledge(core);
      break;
    case 'read':
      read(core, input);
      break;
    case 'change-membership':
      changeMembership(core, input);
      break;
    case 'transfer':
      beginTransfer(core, input);
      break;
    case 'loaded':
      if (core.lead !== null) onLoaded(core, core.lead, input.load, input.sizes);
      break;
    case 'evicted':
      core.sizes.evictBefore(input.first);
      break;
    case 'compacted':
      compact(core, input.index);
      break;
    case 'checkpoint':
      core.checkpoint = input.state;
      break;
    case 'state-installed':
      installState(core, input);
      break;
    case 'distrust':
      core.distrust();
      break;
    case 'state-failed':
      if (core.fetching?.index === input.index) core.fetching = null;
      break;
    default:
      unreachable(input);
  }
  settle(core);
}

function follow(core: Core, elected: Elected): void {
  if (elected === 'elected') lead(core);
}

function compact(core: Core, index: Index): void {
  assert(
    index <= core.committed,
    `only what is committed up to ${core.committed} is compacted, got ${index}`,
  );
  core.log.compactTo(index);
  core.memberships.compactTo(index);
  if (core.sizes.first <= index) core.sizes.evictBefore((index + 1) as Index);
}

function installState(core: Core, { state, membership }: Extract<Input, { kind: 'state-installed' }>): void {
  if (core.fetching !== null && core.fetching.index <= state.index) core.fetching = null;
  if (state.index <= core.committed) return;
  installLog(core, state, membership);
  if (state.index > (core.checkpoint?.index ?? 0)) core.checkpoint = state; // Others may need it next.
  core.commitTo(state.index);
  if (core.role === 'follower' && core.leader !== NOBODY) acknowledge(core);
}

/** What a log has behind the state stays, if the log leads up to it. */
function installLog(core: Core, state: StateInstalled['state'], membership: MembershipEntry): void {
  if (core.log.termAt(state.index) !== state.term) core.resetLog(state, membership);
  if (state.index > core.verified) core.verified = state.index;
}

type StateInstalled = Extract<Input, { kind: 'state-installed' }>;

function receive(core: Core, message: Message): void {
  if (message.to !== core.id) return;
  if (message.from === core.id) {
    core.emit({
      kind: 'violation',
      violation: { kind: 'own-identity', incarnation: message.incarnation },
    });
    core.condition = 'stopped';
    return;
  }
  if (!isCurrentLife(core, message)) return;
  if (message.kind === 'contradict') onContradict(core, message);
  else if (message.kind === 'pre-vote') onPreVote(core, message);
  else if (message.term < core.term) answerPast(core, message);
  else if (message.kind === 'vote' && message.cause === 'timeout' && core.hearsLeader) return;
  else receiveCurrent(core, message);
}

/**
 * What an earlier life of a peer said is dropped, and the peer told: it may be alive, beside the later one.
 */
function isCurrentLife(core: Core, { from, incarnation }: Message): boolean {
  const known = core.lives.get(from) ?? 0;
  if (incarnation < known) {
    core.say({ kind: 'contradict', to: from, knownIncarnation: known, acknowledged: 0 as Index });
    return false;
  }
  if (incarnation > known) {
    core.lives.set(from, incarnation);
    if (known !== 0) noteLife(core, from);
  }
  return true;
}

/** Another life of this replica is known, or something that it acknowledged in its own and does not have. */
function onContradict(core: Core, { knownIncarnation, acknowledged }: Contradict): void {
  if (knownIncarnation > core.incarnation) core.contradict('later-life', knownIncarnation);
  else if (acknowledged > core.log.last) core.contradict('acknowledged', acknowledged);
}

/** Whoever is in an earlier term learns of this one. */
function answerPast(core: Core, message: Message): void {
  const { from: to } = message;
  const isRecovering = core.standing === 'recovering';
  if (message.kind === 'append' || message.kind === 'heartbeat') {
    const nothing = { match: 0 as Index, received: 0 as Index };
    core.promise({ kind: 'heartbeat-reply', to, round: 0, ...nothing, isRecovering });
  } else if (message.kind === 'vote') {
    core.promise({ kind: 'vote-reply', to, isGranted: false });
  }
}

/** In this term, or in one that begins with it. */
function receiveCurrent(core: Core, message: Message): void {
  // The term of a pre-vote that was granted is one that has not begun.
  const isTermOfNobody = message.kind === 'pre-vote-reply' && message.isGranted;
  if (message.term > core.term && !isTermOfNobody) core.becomeFollower(message.term, NOBODY);
  switch (message.kind) {
    case 'append':
    case 'heartbeat':
    case 'offer-state':
      fromLeader(core, message);
      break;
    case 'vote':
      onVote(core, message);
      break;
    case 'vote-reply':
      follow(core, onVoteReply(core, message));
      break;
    case 'pre-vote-reply':
      follow(core, onPreVoteReply(core, message));
      break;
    case 'timeout-now':
      if (core.leader === message.from && core.canLead) follow(core, standForElection(core, 'transfer'));
      break;
    case 'read-index':
      onReadIndex(core, message);
      break;
    case 'read-index-reply':
      onReadIndexReply(core, message);
      break;
    case 'readmit':
      if (core.leader === message.from) onReadmit(core, message);
      break;
    default:
      fromPeer(core, message);
  }
}

type FromLeader = Extract<Message, { kind: 'append' | 'heartbeat' | 'offer-state' }>;

function fromLeader(core: Core, message: FromLeader): void {
  const { leader, term } = core;
  if (leader !== NOBODY && leader !== message.from) {
    core.emit({
      kind: 'violation',
      violation: { kind: 'two-leaders', term, one: leader, other: message.from },
    });
    core.condition = 'stopped';
    return;
  }
  core.becomeFollower(core.term, message.from);
  core.sinceLeader = 0;
  if (message.kind === 'append') onAppend(core, message);
  else if (message.kind === 'heartbeat') onHeartbeat(core, message);
  else onOfferState(core, message);
}

function fromPeer(
  core: Core,
  message: Extract<
    Message,
    { kind: 'append-reply' | 'append-reject' | 'heartbeat-reply' | 'contradict' | 'pre-vote' }
  >,
): void {
  const progress = core.lead?.peers.get(message.from);
  if (core.lead === null || progress === undefined) return;
  noteAlive(progress, message);
  if (message.kind === 'append-reply') onMatched(core, progress, message);
  else if (message.kind === 'append-reject') onAppendReject(core, progress, message);
  else if (message.kind === 'heartbeat-reply') onHeartbeatReply(core, progress, message);
}
