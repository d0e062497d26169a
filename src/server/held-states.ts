/**
 * States that clients hold to read their trees: TIDEMARK HOLD, NODES and RELEASE (docs/redis.md).
 *
 * A held state keeps memory, and a client may go away: so there are HELD_MAX of them at most, and one that
 * nobody read for LEASE_MS is let go.
 */

import { bufferOf } from '../base/bytes.ts';
import type { TreePosition, TreeReader } from '../base/merkle/diff-states.ts';
import type { Clock, Timer } from '../base/time.ts';
import { Rejection } from '../engine/machine.ts';
import { parseInteger } from '../keyvalue/integer.ts';
import { notAnInteger } from '../keyvalue/refusals.ts';
import { OK, type ReplyValue } from '../keyvalue/reply-value.ts';
import type { Request } from '../keyvalue/request.ts';
import type { StateFacts } from '../node/held-state.ts';
import type { Session } from './connection-command.ts';

/** What the server needs of a held state. */
export interface ServedState extends Pick<TreeReader, 'root' | 'keys'> {
  readonly facts: StateFacts;
  read(wanted: readonly TreePosition[]): Promise<readonly (Uint8Array | null)[]>;
  release(): void;
}

export const HELD_MAX = 8;
export const LEASE_MS = 60_000;

/** Positions in one request. */
export const POSITIONS_MAX = 1024;

/** In place of a level: the value of the key. */
const VALUE_LEVEL = -1;

interface Lease {
  readonly state: ServedState;
  timer: Timer;
}

export class HeldStates {
  readonly #hold: () => Promise<ServedState>;
  readonly #clock: Clock;
  readonly #leases = new Map<number, Lease>();
  /** Being held just now: they count. */
  #coming = 0;
  #lastId = 0;
  #isClosed = false;

  constructor(hold: () => Promise<ServedState>, clock: Clock) {
    this.#hold = hold;
    this.#clock = clock;
  }

  /** Holds the state as it is now. */
  async hold(): Promise<{ readonly id: number; readonly state: ServedState }> {
    if (this.#leases.size + this.#coming >= HELD_MAX) {
      throw new Rejection(
        `ERR ${HELD_MAX} states are held already: release one, or wait until one is let go`,
      );
    }
    this.#coming++;
    try {
      const state = await this.#hold();
      const id = ++this.#lastId;
      this.#leases.set(id, { state, timer: this.#letGoLater(id) });
      if (this.#isClosed) this.release(id);
      return { id, state };
    } finally {
      this.#coming--;
    }
  }

  /** The state of a lease, which begins anew. */
  use(id: number): ServedState {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw new Rejection(`ERR no state ${id} is held: it was released, or let go`);
    lease.timer.cancel();
    lease.timer = this.#letGoLater(id);
    return lease.state;
  }

  release(id: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    this.#leases.delete(id);
    lease.timer.cancel();
    lease.state.release();
  }

  /** Lets go of all of them. */
  close(): void {
    this.#isClosed = true;
    for (const id of this.#leases.keys()) this.release(id);
  }

  #letGoLater(id: number): Timer {
    return this.#clock.after(LEASE_MS, () => this.release(id));
  }
}

/** TIDEMARK HOLD */
export async function holdState({ server }: Session): Promise<ReplyValue> {
  const { id, state } = await statesOf(server).hold();
  const { clusterId, machine, index, time } = state.facts;
  return new Map<ReplyValue, ReplyValue>([
    [bulk('id'), id],
    [bulk('root'), bulk(bufferOf(state.root).toString('hex'))],
    [bulk('keys'), state.keys],
    [bulk('index'), index],
    [bulk('time'), time],
    [bulk('cluster'), bulk(clusterId)],
    [bulk('machine'), bulk(machine.name)],
    [bulk('version'), machine.version],
    [bulk('now'), server.now()],
    [bulk('leaseMs'), LEASE_MS],
  ]);
}

/** TIDEMARK NODES id level key [level key …]: answers a part, from the first on, when all is too much. */
export async function readNodes({ server }: Session, request: Request): Promise<ReplyValue> {
  const count = (request.count - FIRST_POSITION) / 2;
  if (!Number.isInteger(count) || count > POSITIONS_MAX) {
    throw new Rejection(`ERR positions are pairs of level and key, at most ${POSITIONS_MAX}`);
  }
  const state = statesOf(server).use(integerAt(request, 2));
  const wanted: TreePosition[] = [];
  for (let at = FIRST_POSITION; at < request.count; at += 2) {
    const level = integerAt(request, at);
    const key = request.argument(at + 1);
    wanted.push(level === VALUE_LEVEL ? { kind: 'value', key } : { kind: 'node', level, key });
  }
  return state.read(wanted);
}

/** TIDEMARK RELEASE id */
export function releaseState({ server }: Session, request: Request): ReplyValue {
  statesOf(server).release(integerAt(request, 2));
  return OK;
}

const FIRST_POSITION = 3;

function integerAt(request: Request, at: number): number {
  const value = parseInteger(request.bytes, request.argumentStart(at), request.argumentLength(at));
  if (typeof value !== 'number') throw notAnInteger();
  return value;
}

function statesOf({ states }: Session['server']): HeldStates {
  if (states === null) throw new Rejection('ERR this server has no state to hold');
  return states;
}

function bulk(text: string): Uint8Array {
  return Buffer.from(text);
}
