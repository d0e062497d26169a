/**
 * A rate limiter: a token bucket for every client. A bucket holds up to `burst` tokens and gets `perSecond`
 * new ones; a request takes some, or is told how long to wait.
 *
 * Time is that of the entry, so every replay comes to the same verdicts. A bucket that is full again differs
 * in nothing from none: each request looks at two buckets, in turn, and drops those, so that the state does
 * not grow with all the clients there ever were.
 */

import { machine, Rejection, type Table, table } from 'tidemark';
import { type Ends, Row } from '../support/row.js';

export interface Limit {
  readonly burst: number;
  readonly perSecond: number;
}

/** The tokens that there were at a time. */
export interface Bucket {
  readonly tokens: number;
  readonly at: number;
}

export type Verdict =
  | { readonly isAllowed: true; readonly tokensLeft: number }
  | { readonly isAllowed: false; readonly retryAfterMs: number };

interface State {
  readonly limits: Table<Limit>;
  readonly buckets: Table<Bucket>;
  /** The clients that have a bucket, each once, in the order in which they are looked at. */
  readonly turns: Table<string>;
  readonly ends: Table<Ends>;
}

const DEFAULT_LIMIT: Limit = { burst: 100, perSecond: 10 };

export const rateLimiter = machine({
  name: 'rate-limiter',
  tables: { limits: table<Limit>(), buckets: table<Bucket>(), turns: table<string>(), ends: table<Ends>() },
  commands: {
    limit({ limits }, { client, limit }: { client: string; limit: Limit }) {
      if (!(limit.burst > 0 && limit.perSecond > 0)) throw new Rejection('a limit is above zero');
      limits.set(client, limit);
    },
    take(state, { client, tokens }: { client: string; tokens: number }, { time }): Verdict {
      if (!(tokens > 0)) throw new Rejection('a request takes more than nothing');
      const turns = new Row('turns', state.turns, state.ends);
      for (let looked = 0; looked < 2; looked++) lookAtNext(state, turns, time);
      const left = tokensAt(state, client, time) - tokens;
      const { perSecond } = limitOf(state, client);
      if (left < 0) return { isAllowed: false, retryAfterMs: Math.ceil((-left / perSecond) * 1000) };
      if (!state.buckets.has(client)) turns.add(client);
      state.buckets.set(client, { tokens: left, at: time });
      return { isAllowed: true, tokensLeft: left };
    },
  },
  queries: { bucket: ({ buckets }, client: string) => buckets.get(client) ?? null },
});

function limitOf({ limits }: State, client: string): Limit {
  return limits.get(client) ?? DEFAULT_LIMIT;
}

function tokensAt(state: State, client: string, time: number): number {
  const { burst, perSecond } = limitOf(state, client);
  const bucket = state.buckets.get(client);
  if (bucket === undefined) return burst;
  return Math.min(burst, bucket.tokens + ((time - bucket.at) / 1000) * perSecond);
}

function lookAtNext(state: State, turns: Row<string>, time: number): void {
  const client = turns.removeFirst();
  if (client === undefined) return;
  if (tokensAt(state, client, time) >= limitOf(state, client).burst) state.buckets.delete(client);
  else turns.add(client);
}
