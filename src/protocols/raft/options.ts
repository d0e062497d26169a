/** Options of the core: their defaults, and what follows from them. */

import { invalidOption, requireInteger, requireKnownOptions } from '../../base/options.ts';

/** Every field is optional. Times are in ticks: how long one is, the host decides. */
export interface RaftOptions {
  /**
   * A replica that heard its leader within so many ticks helps nobody against it; it stands itself after one
   * more than that, to twice as many. 4 to 1000.
   * @default 10
   */
  readonly electionTicksMin?: number;
  /** Between two rounds of heartbeats. 1 to a third of `electionTicksMin`. @default 2 */
  readonly heartbeatTicks?: number;
  /** Entries in one message. 1 to 65536. @default 1024 */
  readonly appendEntriesMax?: number;
  /** Bytes of entries in one message; one entry may exceed it. 1 to 64 MiB. @default 1048576 */
  readonly appendBytesMax?: number;
  /** Messages on their way to one peer. 1 to 4096. @default 64 */
  readonly inflightMessagesMax?: number;
  /** Bytes of entries on their way to one peer; one message may exceed it. @default 16777216 */
  readonly inflightBytesMax?: number;
  /** Bytes of entries that may wait for their commit; then proposals are refused. @default 268435456 */
  readonly uncommittedBytesMax?: number;
  /** Reads that may wait at one replica. @default 65536 */
  readonly readsMax?: number;
  /**
   * By how much the clock of one replica may run faster than that of another: 0.1 is a tenth. Leases, and
   * nothing else, are wrong beyond it. 0 to 0.5.
   * @default 0.1
   */
  readonly clockDriftMax?: number;
}

export type ResolvedRaftOptions = Required<RaftOptions>;

/** What holds for every option that is left out. */
export const RAFT_DEFAULTS: ResolvedRaftOptions = Object.freeze({
  electionTicksMin: 10,
  heartbeatTicks: 2,
  appendEntriesMax: 1024,
  appendBytesMax: 1024 * 1024,
  inflightMessagesMax: 64,
  inflightBytesMax: 16 * 1024 * 1024,
  uncommittedBytesMax: 256 * 1024 * 1024,
  readsMax: 65_536,
  clockDriftMax: 0.1,
});

/** Fills in defaults and rejects what cannot work. */
export function resolveRaftOptions(options: RaftOptions): ResolvedRaftOptions {
  requireKnownOptions('raft', options, RAFT_DEFAULTS);
  const resolved = { ...RAFT_DEFAULTS, ...options };
  requireInteger('electionTicksMin', resolved.electionTicksMin, 4, 1000);
  requireInteger('heartbeatTicks', resolved.heartbeatTicks, 1, Math.floor(resolved.electionTicksMin / 3));
  requireInteger('appendEntriesMax', resolved.appendEntriesMax, 1, 65_536);
  requireInteger('appendBytesMax', resolved.appendBytesMax, 1, 64 * 1024 * 1024);
  requireInteger('inflightMessagesMax', resolved.inflightMessagesMax, 1, 4096);
  requireInteger('inflightBytesMax', resolved.inflightBytesMax, 1, Number.MAX_SAFE_INTEGER);
  requireInteger('uncommittedBytesMax', resolved.uncommittedBytesMax, 1, Number.MAX_SAFE_INTEGER);
  requireInteger('readsMax', resolved.readsMax, 1, 2 ** 32);
  if (!(resolved.clockDriftMax >= 0 && resolved.clockDriftMax <= 0.5)) {
    throw invalidOption('clockDriftMax', resolved.clockDriftMax, 'a number from 0 to 0.5');
  }
  return Object.freeze(resolved);
}

/**
 * Ticks that a lease lasts after the round of heartbeats that it rests on began. Whoever answered helps
 * nobody for `electionTicksMin` of its own ticks, of which the first may be cut short; ours may have begun
 * nearly a tick before we counted it, and its clock may run faster.
 */
export function leaseTicks({ electionTicksMin, clockDriftMax }: ResolvedRaftOptions): number {
  return Math.floor((electionTicksMin - 1) / (1 + clockDriftMax)) - 1;
}
