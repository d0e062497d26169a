/**
 * The calls of one client: drawn from a seed, for the key-value model.
 *
 * Every value that is written and every text that is appended names the client and its operation, so that
 * whatever is read says who wrote it. Transactions stay within groups of three keys, so that a history still
 * falls into many parts. Accounts begin with nothing and are only changed by transfers: their total is always
 * 0.
 */

import { isSameJson, type Json, type Operation } from '../history/operation.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { WorkloadAction, WorkloadOptions } from './workload-options.ts';

const GROUP_KEYS = 3;
const TRANSFER_MAX = 100;

/** Draws calls. */
export class CallSource {
  readonly #client: string;
  readonly #random: SeededRandom;
  readonly #options: Required<WorkloadOptions>;
  readonly #actions: readonly (readonly [WorkloadAction, number])[];
  readonly #weightOfKeys: readonly number[];
  /** What the client saw of a value last. */
  readonly #seen = new Map<string, Json>();
  #drawn = 0;

  constructor(client: string, random: SeededRandom, options: Required<WorkloadOptions>) {
    this.#client = client;
    this.#random = random;
    this.#options = options;
    this.#actions = cumulative(Object.entries(options.mix) as [WorkloadAction, number][]);
    const ranks = Array.from({ length: options.keys }, (_, at) => [at, (at + 1) ** -options.skew] as const);
    this.#weightOfKeys = cumulative(ranks).map(([, weight]) => weight);
  }

  next(): Json {
    this.#drawn++;
    const at = this.#place(this.#actions.map(([, weight]) => weight));
    const [action] = this.#actions[at]!;
    switch (action) {
      case 'read':
        return ['GET', this.#random.pick(['value', 'counter', 'text']) + this.#key()];
      case 'write':
        return ['SET', `value${this.#key()}`, this.#token()];
      case 'delete':
        return ['DEL', `value${this.#key()}`];
      case 'swap': {
        const key = `value${this.#key()}`;
        return ['CAS', key, this.#seen.get(key) ?? null, this.#token()];
      }
      case 'increment':
        return ['INCR', `counter${this.#key()}`];
      case 'append':
        return ['APPEND', `text${this.#key()}`, `${this.#token()};`];
      case 'transaction':
        return this.#transaction();
      case 'transfer':
        return this.#transfer();
      case 'audit':
        return ['MULTI', accounts(this.#options.keys).map((key) => ['GET', key])];
    }
  }

  /** What the client learned from an answer. */
  learn(call: Json, answer: Json): void {
    if (Array.isArray(call) && call[0] === 'GET') this.#seen.set(String(call[1]), answer);
  }

  #transaction(): Json {
    const first = GROUP_KEYS * Math.floor(this.#key() / GROUP_KEYS);
    const group = Array.from({ length: GROUP_KEYS }, (_, at) => first + at).filter(
      (key) => key < this.#options.keys,
    );
    const calls = this.#random
      .shuffle(group)
      .map((key) =>
        this.#random.happens(0.5) ? ['GET', `value${key}`] : ['SET', `value${key}`, this.#token()],
      );
    return ['MULTI', calls];
  }

  #transfer(): Json {
    const amount = this.#random.between(1, TRANSFER_MAX);
    const [from, to] = [this.#key(), this.#key()];
    return [
      'MULTI',
      [
        ['INCRBY', `account${from}`, -amount],
        ['INCRBY', `account${to}`, amount],
      ],
    ];
  }

  #token(): string {
    return `${this.#client}.${this.#drawn}`;
  }

  #key(): number {
    return this.#place(this.#weightOfKeys);
  }

  /** A place, each as likely as its weight says. */
  #place(weights: readonly number[]): number {
    const drawn = (this.#random.u32() / 2 ** 32) * weights.at(-1)!;
    return weights.findIndex((weight) => drawn < weight);
  }
}

/** The balances that an audit of all accounts read; null for any other operation. */
export function auditedBalances({ call, outcome }: Operation, keys: number): readonly number[] | null {
  const audit: Json = ['MULTI', accounts(keys).map((key) => ['GET', key])];
  if (!isSameJson(call, audit) || outcome.kind !== 'answered' || !Array.isArray(outcome.answer)) return null;
  return outcome.answer.map(Number);
}

function accounts(keys: number): string[] {
  return Array.from({ length: keys }, (_, at) => `account${at}`);
}

/** Each with the sum of the weights up to it. */
function cumulative<Item>(weights: readonly (readonly [Item, number])[]): (readonly [Item, number])[] {
  let sum = 0;
  return weights.map(([item, weight]) => [item, (sum += weight)] as const);
}
