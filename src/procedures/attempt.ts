/** One attempt at an effect outside of the node: it ends with its result, its error, or its time. */

import type { Clock } from '../base/time.ts';
import type { EffectCall } from './procedure.ts';

export interface AttemptConfig {
  readonly clock: Clock;
  readonly key: string;
  /** From 1. */
  readonly attempt: number;
  readonly timeoutMs: number;
  /** Aborted when nobody wants to know any more. */
  readonly dropped: AbortSignal;
}

/** Rejects with what the effect throws, when it takes too long, or with the reason of `dropped`. */
export async function attemptOnce(
  effect: (call: EffectCall) => unknown,
  { clock, key, attempt, timeoutMs, dropped }: AttemptConfig,
): Promise<unknown> {
  dropped.throwIfAborted();
  const controller = new AbortController();
  const { signal } = controller;
  const abort = (): void => controller.abort(dropped.reason);
  dropped.addEventListener('abort', abort, { once: true });
  const timer = clock.after(timeoutMs, () =>
    controller.abort(new Error(`no result after ${timeoutMs} ms; it may come to one all the same`)),
  );
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  try {
    return await Promise.race([aborted, (async () => effect({ key, attempt, signal }))()]);
  } finally {
    timer.cancel();
    dropped.removeEventListener('abort', abort);
  }
}
