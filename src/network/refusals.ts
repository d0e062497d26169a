/**
 * Connections that were refused: counted by reason, and told in one event each, but not more often than an
 * operator can read.
 *
 * Bound: SOURCES_MAX sources are remembered; with more the oldest is forgotten, and may be told of again.
 */

import { TidemarkError } from '../base/errors.ts';
import type { Clock } from '../base/time.ts';
import { type PeerEvent, REFUSAL_REASONS, type RefusalReason } from './peer-network.ts';

/** Between two events of the same reason from the same place. */
const QUIET_MS = 10_000;

const SOURCES_MAX = 256;

/** What was refused. */
export interface Refusal {
  readonly reason: RefusalReason;
  /** Of the other side, with its port. */
  readonly address: string;
  readonly replica: number | null;
}

interface Told {
  readonly at: number;
  untold: number;
}

/** What it means, and what somebody can do about it. */
const EXPLANATIONS: Readonly<Record<RefusalReason, string>> = {
  garbled:
    'it sent bytes that are no frames; something else connects to this port, or the network is damaged',
  oversized: 'it sent a frame above frameBytesMax; give all replicas the same limit',
  'out-of-turn': 'it sent a frame that has no place there; something else connects to this port',
  'newer-protocol': 'it speaks a newer protocol only; update this replica',
  'older-protocol': 'it speaks an older protocol only; update that replica',
  'other-cluster': 'it is of another cluster; correct the addresses of the peers',
  'other-timeline': 'it is on another timeline; let the replicas begin from the same restored state',
  'wrong-replica':
    'it means another replica than the one at this address; correct the addresses of the peers',
  'unknown-replica': 'its number is not among the peers; add it as a member first',
  'own-identity': 'it has the number of this replica; stop one of the two',
  'older-start': 'a later start of that replica was here; its directory was put back or copied, so stop it',
  'same-identity': 'another process has the same number and start; its directory was copied, so stop one',
  certificate: 'its certificate does not hold, or does not name that replica; issue one that does',
  silent: 'it did not say in time who it is, or fell silent',
  'too-many': 'more connections than can be looked after had not said who they are',
};

export class Refusals {
  readonly #clock: Clock;
  readonly #tell: (event: PeerEvent) => void;
  readonly #counts = Object.fromEntries(REFUSAL_REASONS.map((reason) => [reason, 0])) as Record<
    RefusalReason,
    number
  >;
  readonly #told = new Map<string, Told>();

  constructor(clock: Clock, tell: (event: PeerEvent) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  counts(): Readonly<Record<RefusalReason, number>> {
    return { ...this.#counts };
  }

  add(refusal: Refusal): void {
    const { reason, address, replica } = refusal;
    this.#counts[reason]++;
    const source = `${reason} ${replica ?? ''} ${address.slice(0, address.lastIndexOf(':'))}`;
    const now = this.#clock.monotonic();
    const told = this.#told.get(source);
    if (told !== undefined && now < told.at + QUIET_MS) {
      told.untold++;
      return;
    }
    this.#told.delete(source);
    if (this.#told.size >= SOURCES_MAX) this.#told.delete(this.#told.keys().next().value!);
    this.#told.set(source, { at: now, untold: 0 });
    const error = refusedError(refusal);
    this.#tell({ kind: 'peer-refused', refusal: reason, address, replica, untold: told?.untold ?? 0, error });
  }
}

/** Of a connection that this side refused. */
export function refusedError({ reason, address, replica }: Refusal): TidemarkError {
  const who = replica === null ? address : `${address}, replica ${replica},`;
  return new TidemarkError('TIDEMARK_PEER_REFUSED', `refused ${who} because ${EXPLANATIONS[reason]}`, {
    remedy: 'fix-call',
    facts: { reason, address, ...(replica === null ? {} : { replica }) },
  });
}

/** Of this replica, refused by a peer: what is said of "it" is said of this one. */
export function refusedByPeer({ reason, address, replica }: Refusal): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_PEER_REFUSED',
    `replica ${replica ?? '?'} at ${address} refused this one: ${reason}; what to do is in docs/network.md`,
    { remedy: 'fix-call', facts: { reason, address, refusedBy: replica ?? 0 } },
  );
}
