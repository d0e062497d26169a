/**
 * A job queue. A worker claims the job that waits longest, and has it until its lease is over; then another
 * may claim it. A job that was claimed too often is a dead letter. So every job is worked on at least once,
 * by workers who may die; and it is finished once, as only the newest lease can finish it.
 *
 * All leases are equally long: in the row of leases, the one that is over first stands first.
 */

import { machine, Rejection, type Table, table } from 'tidemark';
import { type Ends, Row } from '../support/row.js';

export interface Job {
  readonly payload: string;
  readonly state: 'waiting' | 'claimed' | 'done' | 'dead';
  readonly attempts: number;
}

/** What a worker holds: the job, and which attempt it is. */
export interface Lease {
  readonly id: string;
  readonly attempt: number;
}
type Held = Lease & { readonly until: number };

interface State {
  readonly jobs: Table<Job>;
  readonly waiting: Table<string>;
  readonly ends: Table<Ends>;
}
export const LEASE_MS = 1000;
export const ATTEMPTS_MAX = 3;

export const jobQueue = machine({
  name: 'job-queue',
  tables: { jobs: table<Job>(), waiting: table<string>(), leases: table<Held>(), ends: table<Ends>() },
  commands: {
    /** Says whether the job is new: asking again, as after a crash, changes nothing. */
    enqueue(state, { id, payload }: { id: string; payload: string }) {
      if (state.jobs.has(id)) return false;
      state.jobs.set(id, { payload, state: 'waiting', attempts: 0 });
      new Row('waiting', state.waiting, state.ends).add(id);
      return true;
    },
    /** The next job, with a lease; null when none waits. */
    claim(state, _worker: string, { time }) {
      const leases = new Row('leases', state.leases, state.ends);
      for (let lease = leases.first(); lease !== undefined && lease.until <= time; lease = leases.first()) {
        leases.removeFirst();
        if (isHeld(state, lease)) giveBack(state, lease);
      }
      const id = new Row('waiting', state.waiting, state.ends).removeFirst();
      if (id === undefined) return null;
      const job = state.jobs.get(id)!;
      const attempt = job.attempts + 1;
      state.jobs.set(id, { ...job, state: 'claimed', attempts: attempt });
      leases.add({ id, attempt, until: time + LEASE_MS });
      return { id, attempt, payload: job.payload };
    },
    finish(state, lease: Lease) {
      if (!isHeld(state, lease)) throw new Rejection('the lease is over');
      state.jobs.set(lease.id, { ...state.jobs.get(lease.id)!, state: 'done' });
    },
    fail(state, lease: Lease) {
      if (!isHeld(state, lease)) throw new Rejection('the lease is over');
      giveBack(state, lease);
    },
  },
  queries: { job: ({ jobs }, id: string) => jobs.get(id) ?? null },
});

function isHeld({ jobs }: State, { id, attempt }: Lease): boolean {
  const job = jobs.get(id);
  return job?.state === 'claimed' && job.attempts === attempt;
}

function giveBack({ jobs, waiting, ends }: State, { id, attempt }: Lease): void {
  const isDead = attempt >= ATTEMPTS_MAX;
  jobs.set(id, { ...jobs.get(id)!, state: isDead ? 'dead' : 'waiting' });
  if (!isDead) new Row('waiting', waiting, ends).add(id);
}
