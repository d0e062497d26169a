/**
 * The parameters that CONFIG GET tells. Some can be set and then do nothing here: monitors and tests of
 * clients set them. Those that mean something take only the value they have: nobody shall believe that, say,
 * appends are not synced any more.
 */

/** Parameters that have a value because clients ask; setting them changes nothing else. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  'active-expire-effort': '1',
  activerehashing: 'yes',
  'hash-max-listpack-entries': '64',
  'hash-max-listpack-value': '1000',
  'hash-max-ziplist-entries': '64',
  'hash-max-ziplist-value': '1000',
  hz: '10',
  'latency-monitor-threshold': '0',
  'lazyfree-lazy-expire': 'no',
  'lazyfree-lazy-user-del': 'no',
  'lazyfree-lazy-user-flush': 'no',
  'list-max-listpack-size': '-2',
  loglevel: 'notice',
  'maxmemory-samples': '5',
  'set-max-intset-entries': '512',
  'slowlog-log-slower-than': '-1',
  'slowlog-max-len': '0',
  'zset-max-listpack-entries': '128',
  'zset-max-ziplist-entries': '128',
  'zset-max-listpack-value': '64',
  'zset-max-ziplist-value': '64',
};

/** A value is a line of CONFIG GET and of nothing else: no need for a long one. */
export const CONFIG_VALUE_BYTES_MAX = 1024;

export type ConfigOutcome = 'set' | 'unknown' | 'fixed';

export class ServerConfig {
  readonly #fixed: ReadonlyMap<string, string>;
  readonly #settable = new Map(Object.entries(WITHOUT_EFFECT));

  constructor(fixed: Readonly<Record<string, string>>) {
    this.#fixed = new Map(Object.entries(fixed));
  }

  /** Every parameter with its value, by name. */
  entries(): readonly (readonly [name: string, value: string])[] {
    return [...this.#fixed, ...this.#settable].sort(([left], [right]) => (left < right ? -1 : 1));
  }

  /** What setting a parameter would do. */
  judge(name: string, value: string): ConfigOutcome {
    const fixed = this.#fixed.get(name);
    if (fixed !== undefined) return fixed === value ? 'set' : 'fixed';
    return this.#settable.has(name) ? 'set' : 'unknown';
  }

  /** Sets a parameter that `judge` lets be set. */
  set(name: string, value: string): void {
    if (this.#settable.has(name)) this.#settable.set(name, value);
  }
}
