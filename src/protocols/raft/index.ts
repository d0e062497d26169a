/** `tidemark/raft`: the Raft core, as a state machine that takes inputs and returns effects. */

export {
  type DecodedMessage,
  decodeMembership,
  decodeMessage,
  encodeMembership,
  encodeMessage,
  MESSAGE_HEADER_BYTES,
  MESSAGE_VERSION,
} from './codec.ts';
export type { RaftStart } from './core.ts';
export type {
  AppendContent,
  ContradictReason,
  Effect,
  Input,
  MembershipChange,
  PersistId,
  ReadFailure,
  RejectReason,
  RequestId,
  Role,
  Standing,
  Violation,
} from './effects.ts';
export type { LogShape } from './log-terms.ts';
export { MEMBERS_MAX, type Membership, membershipOf } from './membership.ts';
export {
  type Append,
  type MembershipEntry,
  type Message,
  NOBODY,
  type ReplicaId,
  type StatePoint,
  type TermRun,
} from './messages.ts';
export { RAFT_DEFAULTS, type RaftOptions } from './options.ts';
export { type PeerView, Raft, type RaftView } from './raft.ts';
