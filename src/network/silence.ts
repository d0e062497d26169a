/**
 * Notices that the other side of a connection is silent: a half-open connection shows itself in no other way.
 *
 * A process that stood still for a while finds its timers due before it has read what came meanwhile. So a
 * silence counts only when it is still one after the input that waits was taken.
 */

import type { Clock, Timer } from '../base/time.ts';

export interface SilenceWatch {
  readonly clock: Clock;
  readonly silenceMsMax: number;
  /** How often it is looked at. */
  readonly everyMs: number;
  /** When something came, in monotonic milliseconds. */
  heardAt(): number;
  /** Before each look that finds nothing wrong: the time to ask the other side. */
  onLook?(): void;
  /** Called at most once; nothing is looked at after it. */
  onSilent(): void;
}

/** Looks until it is cancelled. */
export function watchSilence(watch: SilenceWatch): Timer {
  const { clock, everyMs } = watch;
  let isOver = false;
  const isSilent = (): boolean => clock.monotonic() - watch.heardAt() > watch.silenceMsMax;
  const goOn = (): void => {
    watch.onLook?.();
    timer = clock.after(everyMs, look);
  };
  const lookAgain = (): void => {
    if (isOver) return;
    if (isSilent()) watch.onSilent();
    else goOn();
  };
  const look = (): void => {
    if (isSilent()) clock.soon(lookAgain);
    else goOn();
  };
  let timer = clock.after(everyMs, look);
  return {
    cancel() {
      isOver = true;
      timer.cancel();
    },
  };
}
