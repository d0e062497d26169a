/** Options of the ordering by one process. */

import { requireInteger, requireKnownOptions } from '../base/options.ts';

/** Every field is optional; `LOCAL_DEFAULTS` is the whole list. */
export interface LocalOptions {
  /**
   * Largest command in bytes, as encoded: 1 KiB to 32 MiB.
   * @default 16842752 (16 MiB for a value and 64 KiB for what is around it)
   */
  readonly commandBytesMax?: number;

  /**
   * Bytes of commands that may wait for the disk before callers are asked to stop: 64 KiB to 1 GiB. At twice
   * as many, commands are refused with TIDEMARK_BUSY.
   * @default 67108864
   */
  readonly pendingBytesMax?: number;
}

export const LOCAL_DEFAULTS: Required<LocalOptions> = Object.freeze({
  commandBytesMax: 16 * 1024 * 1024 + 64 * 1024,
  pendingBytesMax: 64 * 1024 * 1024,
});

/** Fills in defaults and rejects what cannot work. */
export function resolveLocalOptions(options: LocalOptions): Required<LocalOptions> {
  requireKnownOptions('local', options, LOCAL_DEFAULTS);
  const commandBytesMax = options.commandBytesMax ?? LOCAL_DEFAULTS.commandBytesMax;
  const pendingBytesMax = options.pendingBytesMax ?? LOCAL_DEFAULTS.pendingBytesMax;
  requireInteger('commandBytesMax', commandBytesMax, 1024, 32 * 1024 * 1024);
  requireInteger('pendingBytesMax', pendingBytesMax, 64 * 1024, 1024 ** 3);
  return Object.freeze({ commandBytesMax, pendingBytesMax });
}
