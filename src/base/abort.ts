/**
 * Waiting that an AbortSignal ends. However many wait with one signal, it has one listener, and none when
 * nobody waits: a signal may live as long as the program.
 */

type OnAbort = (reason: unknown) => void;

const waitersOf = new WeakMap<AbortSignal, Waiters>();

class Waiters {
  readonly #signal: AbortSignal;
  readonly #waiting = new Set<OnAbort>();
  readonly #onAbort = (): void => {
    this.#signal.removeEventListener('abort', this.#onAbort);
    for (const onAbort of this.#waiting) onAbort(this.#signal.reason);
    this.#waiting.clear();
  };

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  add(onAbort: OnAbort): void {
    if (this.#waiting.size === 0) this.#signal.addEventListener('abort', this.#onAbort);
    this.#waiting.add(onAbort);
  }

  remove(onAbort: OnAbort): void {
    this.#waiting.delete(onAbort);
    if (this.#waiting.size === 0) this.#signal.removeEventListener('abort', this.#onAbort);
  }
}

/**
 * Settles as what `start` gives, unless `signal` is aborted first: then it rejects, and what was started goes
 * on without a listener. When it is aborted already, rejects with its reason and starts nothing.
 * @param errorOf What it rejects with once started. @default the reason of the signal
 */
export function untilAborted<Result>(
  signal: AbortSignal,
  start: () => Promise<Result>,
  errorOf: (reason: unknown) => unknown = (reason) => reason,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    let waiters = waitersOf.get(signal);
    if (waiters === undefined) {
      waiters = new Waiters(signal);
      waitersOf.set(signal, waiters);
    }
    const onAbort = (reason: unknown): void => reject(errorOf(reason));
    const started = start();
    waiters.add(onAbort);
    started.finally(() => waiters.remove(onAbort)).then(resolve, reject);
  });
}
