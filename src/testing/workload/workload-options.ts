/** What clients of a simulation do: options of a workload, and their defaults. */

import { invalidOption, requireInteger, requireKnownOptions } from '../../base/options.ts';

/**
 * What a client may do next.
 *
 * | action | calls | on |
 * | --- | --- | --- |
 * | `read` | GET | any key |
 * | `write` | SET, with a value that no other has | values |
 * | `delete`, `swap` | DEL; CAS from the value that the client saw last | values |
 * | `increment` | INCR | counters |
 * | `append` | APPEND, of a text that no other appends | texts |
 * | `transaction` | MULTI of reads and writes | up to three values of one group |
 * | `transfer` | MULTI of two INCRBY that add up to nothing | accounts |
 * | `audit` | MULTI of a GET of every account | accounts |
 */
export type WorkloadAction =
  | 'read'
  | 'write'
  | 'delete'
  | 'swap'
  | 'increment'
  | 'append'
  | 'transaction'
  | 'transfer'
  | 'audit';

/** Options of a workload. Every field is optional; {@link WORKLOAD_DEFAULTS} is the whole list. */
export interface WorkloadOptions {
  /** @default 5 */
  readonly clients?: number;
  /** Operations of each client. @default 100 */
  readonly operations?: number;
  /** Keys of each kind: values, counters, texts, accounts. @default 9 */
  readonly keys?: number;
  /** How much more often keys are used than those after them: 0 evenly, 1 as words in a text. @default 0.5 */
  readonly skew?: number;
  /**
   * How often each action is drawn, as a weight. What is left out is never. @default reads and writes of all
   * kinds
   */
  readonly mix?: Readonly<Partial<Record<WorkloadAction, number>>>;
  /** Pause of a client between two operations, from and to. @default [0, 100] */
  readonly thinkMs?: readonly [min: number, max: number];
  /** When a client sends again, with the same session and number. @default 1000 */
  readonly timeoutMs?: number;
  /** How often it does, before it gives up and counts the outcome as unknown. @default 3 */
  readonly retriesMax?: number;
}

/** What options are where they are left out. */
export const WORKLOAD_DEFAULTS: Required<WorkloadOptions> = Object.freeze({
  clients: 5,
  operations: 100,
  keys: 9,
  skew: 0.5,
  mix: Object.freeze({
    read: 10,
    write: 6,
    delete: 1,
    swap: 2,
    increment: 3,
    append: 2,
    transaction: 2,
    transfer: 2,
    audit: 1,
  }),
  thinkMs: Object.freeze([0, 100] as const),
  timeoutMs: 1000,
  retriesMax: 3,
});

const ACTIONS: Readonly<Record<WorkloadAction, true>> = {
  read: true,
  write: true,
  delete: true,
  swap: true,
  increment: true,
  append: true,
  transaction: true,
  transfer: true,
  audit: true,
};

/** Fills in defaults and rejects what cannot work. */
export function resolveWorkloadOptions(options: WorkloadOptions): Required<WorkloadOptions> {
  requireKnownOptions('workload', options, WORKLOAD_DEFAULTS);
  const resolved = { ...WORKLOAD_DEFAULTS, ...options };
  const { thinkMs, mix, skew } = resolved;
  requireInteger('clients', resolved.clients, 1, 10_000);
  requireInteger('operations', resolved.operations, 0, 10_000_000);
  requireInteger('keys', resolved.keys, 1, 1_000_000);
  requireInteger('timeoutMs', resolved.timeoutMs, 1, 2 ** 31 - 1);
  requireInteger('retriesMax', resolved.retriesMax, 0, 1000);
  requireInteger('thinkMs', thinkMs[0], 0, 2 ** 31 - 1);
  requireInteger('thinkMs', thinkMs[1], thinkMs[0], 2 ** 31 - 1);
  if (!(skew >= 0 && skew <= 10)) throw invalidOption('skew', skew, 'a number from 0 to 10');
  requireKnownOptions('mix', mix, ACTIONS);
  const weights = Object.values(mix);
  const isMix = weights.every((weight) => weight >= 0) && weights.some((weight) => weight > 0);
  if (!isMix) throw invalidOption('mix', mix, 'weights from 0, and one of them above');
  return Object.freeze(resolved);
}
